import pytest
import tensorflow as tf


@pytest.fixture(scope="session", autouse=True)
def _tensorflow_runs(_four_logical_cpus: None) -> None:
    """The number of logical CPUs is settled by the first operation; a test that asks for fewer must not change it."""
    tf.config.list_logical_devices()
