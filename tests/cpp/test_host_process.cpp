// What the library leaves alone in the process that loads it: environment variables, the home folder, the locale, and
// ONNX Runtime's environment, whose log callback the application sets after a network was loaded. Built against the
// installed kind of library. Arguments: toy.onnx, runtime, a folder for a fresh home.
#include <clocale>
#include <cstdlib>
#include <filesystem>
#include <thread>
#include <vector>

#include "check.hpp"
#include "mfp/session.hpp"

#ifdef HAS_ONNXRUNTIME
#include <onnxruntime_cxx_api.h>
#endif

extern char** environ;

namespace {

namespace fs = std::filesystem;

std::vector<std::string> variables() {
    std::vector<std::string> all;
    for (char** entry = environ; *entry; ++entry) all.emplace_back(*entry);
    return all;
}

std::string files_in(const fs::path& folder) {
    std::string found;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) found += entry.path().string() + " ";
    return found;
}

#ifdef HAS_ONNXRUNTIME
void count_line(void* lines, OrtLoggingLevel, const char*, const char*, const char*, const char*) {
    ++*static_cast<int*>(lines);
}

void the_application_makes_its_own_environment(const char* network) {
    setenv("ORT_DISABLE_TELEMETRY", "1", 1);  // of this test's own ONNX Runtime
    int lines = 0;
    Ort::Env env(ORT_LOGGING_LEVEL_VERBOSE, "application", count_line, &lines);
    Ort::SessionOptions options;
    const Ort::Session session(env, network, options);
    CHECK(lines > 0);
}
#endif

}  // namespace

int main(int, char** arguments) {
    const fs::path home = arguments[3];
    fs::remove_all(home);
    fs::create_directories(home);
    for (const char* name : {"HOME", "TMPDIR"}) setenv(name, home.c_str(), 1);
    for (const char* name : {"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "ORT_DISABLE_TELEMETRY", "CI"}) {
        unsetenv(name);  // of a CI machine, where ONNX Runtime reports nothing by itself
    }
    fs::current_path(home);
    const auto before = variables();
    const std::string c_locale = std::setlocale(LC_ALL, nullptr);

    mfp::NetworkOptions options;
    options.runtime = arguments[2];
    options.threads = 1;
    const auto network = mfp::Network::load(arguments[1], options);
    const std::vector<std::uint8_t> pixels(60 * 80 * 3, 90);
    mfp::SessionOptions size;
    size.longer_side = 64;
    mfp::Session session(network, {pixels.data(), 60, 80}, size);
    session.click(40, 30);

    CHECK(variables() == before);
    CHECK_EQUAL(std::string(std::setlocale(LC_ALL, nullptr)), c_locale);
    CHECK(std::locale() == std::locale::classic());
    CHECK_EQUAL(files_in(home), "");
#ifdef HAS_ONNXRUNTIME
    the_application_makes_its_own_environment(arguments[1]);
#endif
    session.click(30, 30);  // beside it
    CHECK_EQUAL(files_in(home), "");
    return report();
}
