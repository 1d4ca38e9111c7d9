"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const PAGE = 100, byId = id => document.getElementById(id), shown = data.columns.filter(c => !c.hidden);
const column = name => data.columns.find(c => c.name === name);
const reason = column("reason"), isLegal = i => reason.texts[reason.values[i]] === "";
const count = data.front.length;
let order = [...Array(count).keys()], sortedBy = null, isDown = false, first = 0;
function raw(c, i) { return c.texts ? c.texts[c.values[i]] : c.values[i]; }
function value(c, i) {
  const v = raw(c, i);
  return typeof v === "number" && c.scale !== undefined ? v * c.scale : v;
}
function text(v) {
  if (v === null || v === undefined) return "";
  if (typeof v !== "number" || Number.isInteger(v)) return String(v);
  return Math.abs(v) >= 1e6 ? Math.round(v).toString() : String(Number(v.toPrecision(6)));
}
function compare(a, b) {
  if (a === null || a === "") return b === null || b === "" ? 0 : 1;
  if (b === null || b === "") return -1;
  const sign = isDown ? -1 : 1;
  return sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));
}
const TESTS = { "=": (a, b) => a === b, "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b,
  ">=": (a, b) => a >= b };
function passes(word) {
  const found = /^(.+?)(<=|>=|=|<|>)(.+)$/.exec(word), c = found && column(found[1]);
  if (!c) { const low = word.toLowerCase();
    return i => data.columns.some(c => text(value(c, i)).toLowerCase().includes(low)); }
  const test = TESTS[found[2]], wanted = Number(found[3]);
  return i => { const v = value(c, i);
    return typeof v === "number" ? test(v, wanted) : test(String(v), found[3]); };
}
function refresh() {
  const tests = byId("filter").value.split(/\s+/).filter(Boolean).map(passes);
  if (byId("only-front").checked) tests.push(i => data.front[i] === 1);
  if (byId("only-legal").checked) tests.push(isLegal);
  order = [...Array(count).keys()].filter(i => tests.every(test => test(i)));
  if (sortedBy) order.sort((a, b) => compare(value(sortedBy, a), value(sortedBy, b)) || a - b);
  first = 0;
  draw();
}
function draw() {
  const body = byId("table").tBodies[0];
  body.replaceChildren(...order.slice(first, first + PAGE).map(row));
  byId("count").textContent = `${order.length} of ${count} points`;
  byId("where").textContent = order.length ? `${first + 1} to ${Math.min(first + PAGE, order.length)}` : "";
  byId("back").disabled = first === 0;
  byId("next").disabled = first + PAGE >= order.length;
  for (const [k, head] of [...byId("table").tHead.rows[0].cells].entries()) {
    const isSorted = sortedBy === shown[k];
    head.setAttribute("aria-sort", isSorted ? (isDown ? "descending" : "ascending") : "none");
    head.firstChild.textContent = shown[k].label + (isSorted ? (isDown ? " ▼" : " ▲") : "");
  }
}
function row(i) {
  const line = document.createElement("tr");
  line.className = (data.front[i] ? "front " : "") + (isLegal(i) ? "" : "out");
  for (const c of shown) {
    const cell = line.insertCell(), v = value(c, i);
    if (c.name === "point") cell.append(link(i)); else cell.textContent = text(v);
    if (typeof v === "number" || v === null) cell.className = "number";
  }
  line.onmouseenter = () => { byId("hover").replaceChildren(panel(i)); byId("hover").hidden = false; };
  line.addEventListener("focusin", line.onmouseenter);
  line.addEventListener("focusout", hide);
  line.onmouseleave = hide;
  line.onclick = () => { location.hash = `point=${column("point").values[i]}`; };
  return line;
}
function hide() { byId("hover").hidden = true; }
function link(i) {
  const made = document.createElement("a");
  made.href = `#point=${column("point").values[i]}`;
  made.textContent = text(column("point").values[i]);
  return made;
}
function named(line, label) {
  const head = document.createElement("th");
  head.scope = "row";
  head.textContent = label;
  line.append(head);
}
function panel(i) {
  const whole = document.createElement("div"), list = document.createElement("table");
  list.className = "panel";
  for (const c of data.columns) {
    const v = value(c, i);
    if (v === null || v === "") continue;
    const line = list.insertRow();
    named(line, c.label);
    const cell = line.insertCell();
    cell.textContent = text(v);
    if (c.name.startsWith("utilization.")) bar(cell, v);
  }
  whole.append(list);
  if (data.details.values[i]) whole.append(breakdown(data.details.values[i]));
  return whole;
}
function breakdown(details) {
  const list = document.createElement("table");
  list.className = "panel breakdown";
  for (const [k, label] of data.details.labels.entries()) {
    const number = details[k];
    if (number === null) continue;
    const line = list.insertRow();
    named(line, label);
    const cell = line.insertCell();
    cell.textContent = text(number);
    if (label.endsWith("(share)")) bar(cell, number);
  }
  return list;
}
function bar(cell, share) {
  const drawn = document.createElement("span");
  drawn.className = "bar";
  drawn.style.width = `${Math.round(120 * share)}px`;
  cell.append(drawn);
}
function yaml(i) { return data.yaml.values[i].map(line => data.yaml.lines[line] + "\n").join(""); }
function open() {
  const found = /^#point=(\d+)$/.exec(location.hash), kept = byId("kept");
  const i = found ? column("point").values.indexOf(Number(found[1])) : -1;
  kept.hidden = i < 0;
  if (i < 0) return;
  const code = document.createElement("pre"), copy = document.createElement("button");
  code.id = "yaml";
  code.tabIndex = 0;
  code.textContent = yaml(i);
  copy.type = "button";
  copy.textContent = "Copy YAML";
  copy.onclick = () => navigator.clipboard && navigator.clipboard.writeText(yaml(i));
  kept.replaceChildren(panel(i), code, copy);
  kept.focus();
}
const heads = byId("table").tHead.insertRow();
for (const c of shown) {
  const head = document.createElement("th"), sort = document.createElement("button");
  head.scope = "col";
  sort.type = "button";
  if (!c.texts && typeof c.values.find(v => v !== null) === "number") head.className = "number";
  head.append(sort);
  sort.onclick = () => { isDown = sortedBy === c && !isDown; sortedBy = c; refresh(); };
  heads.append(head);
}
byId("filter").oninput = byId("only-front").onchange = byId("only-legal").onchange = refresh;
byId("back").onclick = () => { first -= PAGE; draw(); };
byId("next").onclick = () => { first += PAGE; draw(); };
window.onhashchange = open;
document.addEventListener("keydown", event => { if (event.key === "Escape") hide(); });
refresh();
open();
