/// @file
/// Every exception that this library throws on purpose; the tree of engine/errors.py, as far as it applies.
///
///     mfp::Error
///     ├── ImageError            an image or an initial mask that is not accepted
///     ├── ClickError            a click outside the image, or with coordinates that are no numbers
///     ├── SessionError          a call that the session cannot answer in its present state
///     │   └── NothingToUndoError   undo() or redo() with nothing left
///     ├── OptionError           an option (size, threshold, …) out of its range
///     ├── NetworkError          a file that is no MFP network, or does not keep its contract
///     │   └── PlanError         a .plan file that is refused, or cannot be written
///     ├── BuildError            a network that TensorRT could not build, or not in the precision asked for
///     └── RuntimeMissingError   a runtime that was asked for and is not part of this build, or has no GPU to run on
///
/// Each message says what was expected, what came, and what to do. Apart from these, only std::bad_alloc is thrown.
#pragma once

#include <stdexcept>

namespace mfp {

class Error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

class ImageError : public Error {
public:
    using Error::Error;
};

class ClickError : public Error {
public:
    using Error::Error;
};

class SessionError : public Error {
public:
    using Error::Error;
};

class NothingToUndoError : public SessionError {
public:
    using SessionError::SessionError;
};

class OptionError : public Error {
public:
    using Error::Error;
};

class NetworkError : public Error {
public:
    using Error::Error;
};

class PlanError : public NetworkError {
public:
    using NetworkError::NetworkError;
};

class BuildError : public Error {
public:
    using Error::Error;
};

class RuntimeMissingError : public Error {
public:
    using Error::Error;
};

}  // namespace mfp
