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
/// Each message says what was expected, what came, and what to do; it is valid UTF-8 and does not depend on the locale.
/// Apart from these, only std::bad_alloc is thrown.
#pragma once

#include <stdexcept>
#include <string>

#include "mfp/export.h"

namespace mfp {

class MFP_API Error : public std::runtime_error {
public:
    explicit Error(const std::string& message);  ///< bytes that are no UTF-8, of a path say, become U+FFFD
};

class MFP_API ImageError : public Error {
public:
    using Error::Error;
};

class MFP_API ClickError : public Error {
public:
    using Error::Error;
};

class MFP_API SessionError : public Error {
public:
    using Error::Error;
};

class MFP_API NothingToUndoError : public SessionError {
public:
    using SessionError::SessionError;
};

class MFP_API OptionError : public Error {
public:
    using Error::Error;
};

class MFP_API NetworkError : public Error {
public:
    using Error::Error;
};

class MFP_API PlanError : public NetworkError {
public:
    using NetworkError::NetworkError;
};

class MFP_API BuildError : public Error {
public:
    using Error::Error;
};

class MFP_API RuntimeMissingError : public Error {
public:
    using Error::Error;
};

}  // namespace mfp
