from tests.stub.fixtures import stub

__all__ = ["stub"]
