// Loading of ONNX Runtime's library, and its environment.
#include "onnxruntime_library.hpp"

#include <cstdlib>
#include <mutex>
#include <optional>

#ifdef MFP_OWN_ONNXRUNTIME
#include <dlfcn.h>

#include "packaged.hpp"
#endif

namespace mfp {
namespace {

constexpr const char* telemetry_variable = "ORT_DISABLE_TELEMETRY";

// Sets the variable while a process's first environment is made, which is when ONNX Runtime (1.29 and later, on Linux
// and macOS too) decides for the whole process; its API's switch comes after an identifier was written to the home
// folder. Taken back at once: what the application and its children find in their environment stays as it was.
class WithoutTelemetry {
public:
    WithoutTelemetry() {
#ifndef _WIN32
        setenv(telemetry_variable, "1", 0);
#endif
    }
    ~WithoutTelemetry() {
#ifndef _WIN32
        unsetenv(telemetry_variable);
#endif
    }
    WithoutTelemetry(const WithoutTelemetry&) = delete;
    WithoutTelemetry& operator=(const WithoutTelemetry&) = delete;
};

}  // namespace

const OrtApiBase* onnxruntime_base() {
    static const OrtApiBase* const base = [] {
#ifdef MFP_OWN_ONNXRUNTIME
        // never closed: its threads' thread-local destructors may run until the process ends
        if (void* own = dlopen((library_folder() + "/" + MFP_OWN_ONNXRUNTIME).c_str(), RTLD_NOW | RTLD_LOCAL)) {
            if (void* entry = dlsym(own, "OrtGetApiBase")) {
                return reinterpret_cast<const OrtApiBase* (*)()>(entry)();
            }
        }
#endif
        return OrtGetApiBase();
    }();
    return base;
}

const OrtApi* onnxruntime_api() {
    static const OrtApi* const api = [] {
        const OrtApi* found = onnxruntime_base()->GetApi(ORT_API_VERSION);
        if (found) Ort::InitApi(found);
        return found;
    }();
    return api;
}

Ort::Env onnxruntime_environment() {
    // stderr is the application's, and errors are thrown; an environment that it shares has everybody's level
    const auto level = onnxruntime_base() == OrtGetApiBase() ? ORT_LOGGING_LEVEL_WARNING : ORT_LOGGING_LEVEL_FATAL;
    if (std::getenv(telemetry_variable)) return Ort::Env(level, "mfp");  // the user has decided
    static std::once_flag first;
    std::optional<Ort::Env> env;
    std::call_once(first, [&] {
        const WithoutTelemetry off;
        env.emplace(level, "mfp");
    });
    if (!env) env.emplace(level, "mfp");
    env->DisableTelemetryEvents();  // where there is no such variable: Windows, and versions before 1.29
    return std::move(*env);
}

}  // namespace mfp
