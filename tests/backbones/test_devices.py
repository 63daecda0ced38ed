import tensorflow as tf

from fashionprobe.backbones import devices


def test_none_is_the_strategy_that_is_there_anyway_and_mirrored_is_keras_own():
    assert devices.strategy("none") is tf.distribute.get_strategy()
    assert isinstance(devices.strategy("mirrored"), tf.distribute.MirroredStrategy)


def test_the_name_without_a_gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [])
    assert devices.name() == "CPU"


def test_the_names_of_gpus(monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a", "b"])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: {"device_name": f"GPU {gpu}"})
    assert devices.name() == "GPU a, GPU b"
