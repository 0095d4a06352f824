// ONNX Runtime's library and its environment, for onnxruntime.cpp.
#pragma once

// the wrapper's table of functions is the chosen copy's
#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

namespace mfp {

// The entry of the copy beside the library, which shares nothing with the application; without that copy of the
// ONNX Runtime that the library is linked with.
const OrtApiBase* onnxruntime_base();

// Its functions, for the wrapper's classes too; null where it is older than the headers.
const OrtApi* onnxruntime_api();

// The environment of that ONNX Runtime; one a process, counted, and gone with the last that holds it. Its telemetry
// stays off unless the variable ORT_DISABLE_TELEMETRY says otherwise.
Ort::Env onnxruntime_environment();  // where onnxruntime_api() is not null

}  // namespace mfp
