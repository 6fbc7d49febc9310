"""Flow runs of a running Prefect."""


def fire(chaos, kills):
    raise NotImplementedError
