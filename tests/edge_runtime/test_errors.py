import pytest

from edge_runtime import errors


def test_message_is_what_happened_then_expected_then_remedy():
    error = errors.ImageError("a.png is empty", "a picture", "save it again")
    assert str(error) == "a.png is empty; a picture was expected; save it again"


def test_message_stays_one_line_whatever_a_library_or_a_file_name_brings():
    assert "\n" not in str(errors.ModelError("bad\nname.tflite: line one\r\nline two"))


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.ModelError, ValueError),
        (errors.DamagedModelError, ValueError),
        (errors.ImageError, ValueError),
        (errors.InputError, ValueError),
        (errors.InterpreterError, RuntimeError),
        (errors.InterpreterUnavailableError, ImportError),
        (errors.MissingDependencyError, ImportError),
        (errors.DeviceError, RuntimeError),
        (errors.OutputError, RuntimeError),
        (errors.SourceError, RuntimeError),
    ],
)
def test_errors_are_caught_as_ours_and_as_the_fitting_builtin(error, builtin):
    assert issubclass(error, errors.EdgeRuntimeError)
    assert issubclass(error, builtin)
