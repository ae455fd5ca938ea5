from harness.comparison.speed import caution, speeds


def test_ratios_are_of_the_second_to_the_first() -> None:
    a = {"images_per_second": 1000.0, "train_seconds": 60.0, "peak_memory_bytes": 2**30}
    b = {"images_per_second": 1500.0, "train_seconds": 40.0, "compile_seconds": 2.5}
    found = speeds(a, b)
    assert found["images_per_second"].words == ("1,000", "1,500", "1.50")
    assert found["train_seconds"].ratio == 40 / 60
    assert found["compile_seconds"].words == ("–", "2.5", "–")
    assert found["peak_memory_bytes"].words == ("1,024", "–", "–")


def test_the_devices_are_named_and_two_of_them_warned_of() -> None:
    assert "the same device: X" in caution({"device": "X"}, {"device": "X"})
    told = caution({"device": "X"}, {})
    for fact in ("mean nothing", "A ran on X", "B on an unknown device"):
        assert fact in told
