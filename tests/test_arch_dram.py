"""DRAM devices as data: presets against published peaks, timings in cycles, and every refusal word for word."""

from fractions import Fraction
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from arch.dram import OF_GROUPS, REQUIRED_TIMINGS, TIMINGS, DramTiming, Timing
from sim.load.nouns import CATALOGS, load_dram
from sim.load.problems import InputError
from tests.dram_cases import PRESETS, changed, one_bus


def test_catalog_is_what_the_tests_know() -> None:
    assert CATALOGS["timing"].names() == tuple(sorted(PRESETS))


@pytest.mark.parametrize(
    ("name", "peak_bytes_per_s", "capacity_gib", "buses"),
    [
        # bytes of all data pins times the rate of a pin; capacity; data buses
        ("lpddr4-3200", 2 * 2 * 3.2e9, 1, 2),
        ("lpddr5-6400", 2 * 2 * 6.4e9, 2, 2),
        ("lpddr5x-8533", 2 * 2 * 8.533e9, 2, 2),
        ("ddr4-3200", 8 * 3.2e9, 8, 1),
        ("ddr5-6400", 8 * 6.4e9, 16, 2),
        ("gddr6-14000", 4 * 14e9, 1, 2),
        ("hbm2-2000", 1024 / 8 * 2e9, 8, 16),
        ("hbm2e-3200", 1024 / 8 * 3.2e9, 16, 16),
        ("hbm3-6400", 1024 / 8 * 6.4e9, 16, 32),
        ("hbm3e-9200", 1024 / 8 * 9.2e9, 16, 32),
        ("hbm4-8000", 2048 / 8 * 8e9, 16, 64),
    ],
)
def test_presets_have_their_published_peaks(name: str, peak_bytes_per_s: float, capacity_gib: int, buses: int) -> None:
    timing = load_dram(name)
    assert timing.peak_bytes_per_s == peak_bytes_per_s
    assert timing.capacity_bytes == capacity_gib * 2**30
    assert timing.interfaces == buses
    assert timing.burst_bytes == (64 if name.startswith("ddr") else 32)


def test_times_become_cycles() -> None:
    timing = load_dram("lpddr4-3200")  # 0.625 ns a cycle
    names = ("tRCD", "tRP", "tRP_ab", "tRAS", "tRC", "tRRD_S", "tFAW", "tRTP", "tREFI", "tRFC", "tDQSCK")
    assert [timing.cycles_of(name) for name in names] == [29, 29, 34, 68, 97, 16, 64, 12, 6250, 288, 6]


@pytest.mark.parametrize("cycles", [1, 7, 15, 29, 3900])
@pytest.mark.parametrize("clock_mhz", [800, 1000, 1333, 1600, 2133])
def test_whole_cycles_stay_whole(cycles: int, clock_mhz: int) -> None:
    """A time that is a whole number of cycles is not rounded up by the noise of floats; one a little longer is."""
    exact = Fraction(cycles * 10**6, clock_mhz)  # ps
    if exact.denominator == 1:
        assert Timing(name="t", time=f"{exact} ps", source="s").at(clock_mhz * 1e6) == cycles
    above = exact + Fraction(1, 100)
    assert Timing(name="t", time=f"{float(above):.6f} ps", source="s").at(clock_mhz * 1e6) == cycles + 1


def test_the_larger_of_time_and_cycles_counts() -> None:
    both = Timing(name="tRRD", time="10 ns", cycles=4, source="s")
    assert [both.at(hz) for hz in (1.6e9, 4e8, 2e8)] == [16, 4, 4]


@pytest.mark.parametrize("name", PRESETS)
def test_every_value_has_a_source(name: str) -> None:
    timing = load_dram(name)
    assert timing.source.strip() and all(one.source.strip() for one in timing.timings)


@pytest.mark.parametrize("name", PRESETS)
def test_dump_is_the_same_device(name: str) -> None:
    timing = load_dram(name)
    assert DramTiming.model_validate(timing.model_dump()) == timing
    assert hash(DramTiming.model_validate(timing.model_dump())) == hash(timing)


def test_defaults_follow_from_what_is_given() -> None:
    timing = changed(one_bus("hbm2-2000"), tRREFD=None)
    assert timing.cycles_of("tRC") == 34 + 14
    assert timing.cycles_of("tRP_ab") == 14
    assert timing.cycles_of("tRTW") == 14 + 2 - 5 + 2
    assert [timing.cycles_of(name) for name in ("tCCD_S_WR", "tCCD_L_WR", "tPBR2PBR")] == [2, 4, 6]
    assert timing.cycles_of("tRREFD") == timing.cycles_of("tRRD_L")
    assert [timing.cycles_of(name) for name in ("tPPD", "tDQSCK", "tDQSS")] == [0, 0, 0]
    with pytest.raises(ValueError) as caught:
        timing.cycles_of("tFAV")
    assert str(caught.value) == "'hbm2-2000' has no timing 'tFAV' (did you mean 'tFAW'?)"


def messages(timing: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        DramTiming.model_validate(timing)
    return [detail["msg"].removeprefix("Value error, ") for detail in caught.value.errors()]


def data(**timings: Any) -> dict[str, Any]:
    plain = one_bus("hbm2-2000").model_dump()
    by_name = {one["name"]: one for one in plain["timings"]} | timings
    return plain | {"timings": {name: value for name, value in by_name.items() if value is not None}}


def cycles(value: int) -> dict[str, Any]:
    return {"cycles": value, "source": "s"}


@pytest.mark.parametrize(
    ("timings", "message"),
    [
        ({"tFAV": cycles(3)}, "unknown timing 'tFAV' (did you mean 'tFAW'?)"),
        ({"tFAW": None}, "missing timing 'tFAW' (activate to the fourth activate after it)"),
        ({"tCCD_L": None}, "missing timing 'tCCD_L' (read to read, write to write within a bank group)"),
        ({"tCCD_S": cycles(1)}, "tCCD_S is 1 cycles, but a burst holds the data bus for 2"),
        ({"tCCD_L": cycles(1)}, "tCCD_L is 1 cycles, less than tCCD_S, which is 2"),
        ({"tRAS": cycles(13)}, "tRAS is 13 cycles, less than tRCDRD, which is 14"),
        (
            {"tRAS": cycles(13), "tRCD": cycles(14), "tRCDRD": None, "tRCDWR": None},
            "tRAS is 13 cycles, less than tRCD, which is 14",
        ),
        ({"tRCDWR": None}, "missing timing 'tRCDWR' (activate to write of that bank; tRCD gives both)"),
        ({"tRCD": cycles(14)}, "tRCD is for reads and writes, and both tRCDRD and tRCDWR are given"),
        ({"tCCD_S_WR": cycles(1)}, "tCCD_S_WR is 1 cycles, but a burst holds the data bus for 2"),
        ({"tCCD_S_WR": cycles(5)}, "tCCD_L_WR is 4 cycles, less than tCCD_S_WR, which is 5"),
        ({"tCCD_L_WR": cycles(1)}, "tCCD_L_WR is 1 cycles, less than tCCD_S_WR, which is 2"),
        (
            {"tRFC_sb": cycles(90)},
            "a device refreshes single banks (tRFC_pb) or one of every group (tRFC_sb), not both",
        ),
        ({"tREFI": cycles(200)}, "tREFI is 200 cycles, less than tRFC, which is 260"),
        ({"tRTW": cycles(10)}, "tRTW is 10 cycles, but data collide below 11"),
        ({"tRP": {"source": "s"}}, "timing 'tRP' has neither time nor cycles"),
        ({"tRP": cycles(-1)}, "expected a whole number of cycles, got -1"),
        ({"tRP": {"cycles": True, "source": "s"}}, "expected a whole number of cycles, got True"),
    ],
)
def test_wrong_timings(timings: dict[str, Any], message: str) -> None:
    assert messages(data(**timings)) == [message]


def test_other_wrong_devices() -> None:
    assert messages(data() | {"row": "1000 B"}) == ["a row of 8000 bit is no whole number of bursts of 256 bit"]
    assert messages(data() | {"burst": "12 bit"}) == ["expected a burst of whole bytes, got 12 bit"]
    assert messages(data() | {"refresh": "same-bank"}) == [
        "refresh same-bank needs the timing 'tRFC_sb', which is not given"
    ]
    assert messages(data(tRFC_pb=None) | {"refresh": "per-bank"}) == [
        "refresh per-bank needs the timing 'tRFC_pb', which is not given"
    ]
    single = sorted(messages(data(tCCD_L_WR=cycles(4)) | {"bank_groups": 1}))
    assert single == [f"timing '{name}' is of bank groups, and there is one group only" for name in sorted(OF_GROUPS)]


def test_timings_are_named_once() -> None:
    assert len(TIMINGS) == len(set(TIMINGS)) == 30
    assert REQUIRED_TIMINGS.keys() < TIMINGS.keys()


def test_errors_of_files_have_their_place(tmp_path: Any) -> None:
    text = CATALOGS["timing"].find("hbm2-2000").read_text().replace("  tFAW:", "  tFAV:")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    line = 1 + [row[:7] for row in text.splitlines()].index("  tFAV:")
    with pytest.raises(InputError) as caught:
        load_dram(str(path))
    assert str(caught.value) == f"{path}:{line}: $.timings.tFAV: unknown timing 'tFAV' (did you mean 'tFAW'?)"
    with pytest.raises(InputError) as caught:
        load_dram("hbm2-200")
    assert str(caught.value) == (
        f"einfuse: no DRAM timing called 'hbm2-200' (did you mean 'hbm2-2000'?); shipped: {', '.join(PRESETS)}"
    )


@pytest.mark.parametrize(
    ("line", "path", "message"),
    [
        (
            "refresh: al-bank",
            "refresh",
            "expected 'all-bank', 'per-bank', 'same-bank' or 'none', got 'al-bank' (did you mean 'all-bank'?)",
        ),
        ("refrsh: all-bank", "refrsh", "unknown key 'refrsh' (did you mean 'refresh'?)"),
        ("refresh: same-bank", "refresh", "refresh same-bank needs the timing 'tRFC_sb', which is not given"),
    ],
)
def test_a_wrong_policy_is_one_sentence(tmp_path: Any, line: str, path: str, message: str) -> None:
    text = CATALOGS["timing"].find("hbm2-2000").read_text()
    file = tmp_path / "mine.yaml"
    file.write_text(text.replace("clock: 1 GHz", f"{line}\nclock: 1 GHz"))
    with pytest.raises(InputError) as caught:
        load_dram(str(file))
    at = 1 + text.splitlines().index("clock: 1 GHz")
    assert str(caught.value) == f"{file}:{at}: $.{path}: {message}"


def test_one_trcd_means_both_directions(tmp_path: Any) -> None:
    """As files were before the two were apart; and of a file with one, one direction may be changed alone."""
    timing = load_dram("lpddr4-3200")
    assert [one.name for one in timing.timings if one.name.startswith("tRCD")] == ["tRCD"]
    assert [timing.cycles_of(name) for name in ("tRCD", "tRCDRD", "tRCDWR")] == [29, 29, 29]
    path = tmp_path / "quick.yaml"
    quick = {"timings.tRCDWR": {"time": "9 ns", "source": "mine"}}
    path.write_text(yaml.safe_dump({"name": "quick", "base": "lpddr4-3200", "set": quick}))
    timing = load_dram(str(path))
    assert [timing.cycles_of(name) for name in ("tRCDRD", "tRCDWR")] == [29, 15]


def test_a_file_may_change_parts_of_another(tmp_path: Any) -> None:
    path = tmp_path / "narrow.yaml"
    path.write_text(
        yaml.safe_dump({"name": "narrow", "base": "hbm2-2000", "set": {"channels": 1, "timings.tFAW.time": "16 ns"}})
    )
    narrow = load_dram(str(path))
    assert (narrow.interfaces, narrow.cycles_of("tFAW")) == (2, 16)
