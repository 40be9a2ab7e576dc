from tests.test_operate import terminal

__all__ = ["terminal"]
