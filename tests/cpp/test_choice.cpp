// What "auto" chooses and why, the packaged networks by their names, and options that no longer pass unnoticed.
// Arguments: toy.onnx, the packaged networks.
#include <algorithm>
#include <filesystem>

#include "check.hpp"
#include "fake.hpp"
#include "packaged.hpp"

namespace {

bool has(const std::string& runtime) {
    const auto runtimes = mfp::Network::runtimes();
    return std::find(runtimes.begin(), runtimes.end(), runtime) != runtimes.end();
}

mfp::NetworkOptions with(const std::string& runtime, const std::string& precision = "") {
    mfp::NetworkOptions options;
    options.runtime = runtime;
    options.precision = precision;
    options.threads = 1;
    return options;
}

void auto_takes_the_runtime_that_takes_the_file(const std::string& toy, const std::string& networks) {
    const std::string half = networks + "/lite0_fp16.onnx";
    if (has("openvino")) {
        CHECK_EQUAL(mfp::Network::load(toy)->choice(), "openvino on the CPU");
    } else {
        CHECK_EQUAL(mfp::Network::load(toy)->choice(), "onnxruntime on the CPU: openvino is not part of this build");
    }
    if (has("openvino") && has("onnxruntime")) {
        const auto network = mfp::Network::load(half, with("auto"));
        CHECK_EQUAL(network->runtime(), "onnxruntime");
        CHECK_EQUAL(network->info().precision, "fp16");
        CHECK_EQUAL(network->choice(), "onnxruntime on the CPU: openvino takes no fp16 file");
        CHECK_EQUAL(mfp::Network::load(half, with("auto", "fp16"))->runtime(), "onnxruntime");
    } else if (has("openvino")) {
        CHECK_THROWS(mfp::Network::load(half), mfp::OptionError, "or build the library with ONNX Runtime");
    }
    // neither takes it: the first says why
    CHECK_THROWS(mfp::Network::load(toy, with("auto", "fp16")), mfp::OptionError, "asked for fp16");
    CHECK_THROWS(mfp::Network::load(half, with("auto", "fp32")), mfp::OptionError, "is fp16");
    for (const std::string runtime : {"openvino", "onnxruntime"}) {
        if (has(runtime)) CHECK_EQUAL(mfp::Network::load(toy, with(runtime))->choice(), "");
    }
    CHECK_EQUAL(fake_network()->choice(), "");
}

void a_gpu_is_not_ignored(const std::string& toy) {
    for (const std::string runtime : {"auto", "openvino", "onnxruntime"}) {
        auto options = with(runtime);
        options.gpu = 99;
        CHECK_THROWS(mfp::Network::load(toy, options), mfp::OptionError,
                     "toy.onnx runs on the CPU, asked for the GPU 99: leave gpu at 0, or build a plan of it");
    }
}

void packaged_networks_have_names(const std::string& networks) {
    std::filesystem::current_path(std::filesystem::temp_directory_path());  // not where they lie
    const auto network = mfp::Network::load("lite0", with("auto"));
    CHECK_EQUAL(network->info().backbone, mfp::Network::load(networks + "/lite0.onnx")->info().backbone);
    CHECK_EQUAL(network->info().precision, "fp32");
    if (has("onnxruntime")) {
        CHECK_EQUAL(mfp::Network::load("lite0", with("onnxruntime", "fp16"))->info().precision, "fp16");
        CHECK_EQUAL(mfp::Network::load("lite0", with("onnxruntime", "fp32"))->info().precision, "fp32");
    }
    CHECK_EQUAL(mfp::find_network("folder/lite0", ""), "folder/lite0");
    CHECK_EQUAL(mfp::find_network("lite0.onnx", ""), "lite0.onnx");
    CHECK_THROWS(
        mfp::Network::load("lite1"), mfp::NetworkError,
        "no such file, and no such network in the package: lite1; packaged are lite0, lite0_fp16. Network files "
        "end in .onnx or .plan");
    CHECK_THROWS(mfp::Network::load("absent.onnx"), mfp::NetworkError, "--output absent.onnx; or load \"lite0\"");
    CHECK_THROWS(mfp::Network::load("./absent"), mfp::NetworkError, "--output absent.onnx; or load \"lite0\"");
    CHECK_THROWS(mfp::Network::load(""), mfp::NetworkError, "no such file");
}

}  // namespace

int main(int, char** arguments) {
    const std::string toy = arguments[1], networks = arguments[2];
    if (mfp::Network::runtimes().empty()) {
        CHECK_THROWS(mfp::Network::load("lite0"), mfp::RuntimeMissingError, "pip install openvino");
        return report();
    }
    auto_takes_the_runtime_that_takes_the_file(toy, networks);
    a_gpu_is_not_ignored(toy);
    packaged_networks_have_names(networks);
    return report();
}
