// Files that are networks and files that are not. Arguments: toy.onnx, the packaged networks, a folder to write into.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "check.hpp"
#include "fake.hpp"
#include "mfp/build.hpp"
#include "onnx_file.hpp"
#include "plan_file.hpp"
#include "text.hpp"
#include "unicode.hpp"

namespace {

std::string folder;

std::string written(const std::string& name, const std::string& data) {
    const std::string path = folder + "/" + name;
    std::ofstream(path, std::ios::binary) << data;
    return path;
}

// Protobuf by hand: one field of bytes.
std::string field(int number, const std::string& bytes) {
    std::string length;
    for (std::size_t left = bytes.size();; left >>= 7) {
        length += static_cast<char>((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
        if (left <= 0x7f) break;
    }
    return mfp::text(static_cast<char>(number << 3 | 2), length, bytes);
}

std::string number_field(int number, int value) {
    return mfp::text(static_cast<char>(number << 3), static_cast<char>(value));
}

std::string tensor(const std::string& name, std::vector<int> shape, int element = 1) {
    std::string dims;
    for (const int side : shape) dims += field(1, side < 0 ? field(2, "any") : number_field(1, side));
    return field(1, name) + field(2, field(1, number_field(1, element) + field(2, dims)));
}

std::string model(const std::string& graph, const std::string& metadata = "") {
    return field(8, number_field(2, 17)) + field(7, graph) + metadata;
}

std::string graph(int batch = -1, int height = 48, int width = 64, int image_channels = 3, int element = 1) {
    std::string text;
    for (const auto& [name, channels] : {std::pair("image", image_channels), std::pair("prev_mask", 1),
                                         std::pair("modulated_mask", 1), std::pair("clicks", 2)}) {
        text += field(11, tensor(name, {batch, channels, height, width}, element));
    }
    return text + field(12, tensor("logits", {batch, 1, height, width}));
}

std::string property(const std::string& key, const std::string& value) {
    return field(14, field(1, key) + field(2, value));
}

void what_a_file_says() {
    const auto info = mfp::check_contract(
        "f", mfp::read_onnx(
                 written("says.onnx", model(graph(), property("mfp.backbone", "hrnet18") +
                                                         property("mfp.n_early", "5") + property("mfp.r_max", "75.5") +
                                                         property("mfp.weights", "untrained,\x1b seed 0")))));
    CHECK_EQUAL(info.backbone, "hrnet18");
    CHECK(info.size && info.size->height == 48 && info.size->width == 64);
    CHECK_EQUAL(info.n_early, 5);
    CHECK_EQUAL(info.r_max, 75.5);
    CHECK_EQUAL(info.weights, "untrained, seed 0");  // without the control character
    CHECK_EQUAL(info.precision, "fp32");
    CHECK_EQUAL(
        mfp::check_contract("f", mfp::read_onnx(written("half.onnx", model(graph() + field(5, number_field(2, 10))))))
            .precision,
        "fp16");
    CHECK(!mfp::check_contract("f", mfp::read_onnx(written("any.onnx", model(graph(-1, -1, -1))))).size);
}

bool is_utf8(const std::string& bytes) {
    for (std::size_t i = 0; i < bytes.size();) {
        const mfp::CodePoint point = mfp::code_point(bytes, i);
        if (!point.valid) return false;
        i += point.length;
    }
    return true;
}

// Text of a file, and of messages, whatever the bytes behind it.
void texts_are_utf8() {
    std::string long_text, expected;
    for (int i = 0; i < 300; ++i) long_text += "é";
    for (int i = 0; i < 200; ++i) expected += "é";
    const auto backbone = [](const std::string& value) {
        const std::string path = written("text.onnx", model(graph(), property("mfp.backbone", value)));
        return mfp::check_contract("f", mfp::read_onnx(path)).backbone;
    };
    CHECK_EQUAL(backbone(long_text), expected);
    CHECK_EQUAL(backbone(std::string(199, 'x') + "é…"), std::string(199, 'x') + "é");
    CHECK_EQUAL(backbone("a\xff\xc3z\xed\xa0\x80\x7f"), "az");

    std::mt19937 generator(5);
    std::string bytes;
    for (int i = 0; i < 20000; ++i)
        bytes += static_cast<char>(generator() % 3 ? 0x70 + generator() % 0x90 : generator());
    const std::string mended = mfp::valid_utf8(bytes);
    CHECK(!is_utf8(bytes) && is_utf8(mended) && mfp::valid_utf8(mended) == mended);
    CHECK(is_utf8(mfp::clean(bytes)) && is_utf8(mfp::printable(bytes)));

    try {
        mfp::Network::load(folder + "/\xff\xfe\x80 caf\xc3\xa9 \xc3.onnx");
        CHECK(!"there is no such file");
    } catch (const mfp::NetworkError& error) {
        CHECK(is_utf8(error.what()));
        CHECK(std::string(error.what()).find("\xef\xbf\xbd caf\xc3\xa9 \xef\xbf\xbd.onnx") != std::string::npos);
    }
    const std::string odd = model(field(11, tensor("im\xff"
                                                   "age",
                                                   {-1, 3, -1, -1})));
    try {
        mfp::check_contract("f", mfp::read_onnx(written("odd.onnx", odd)));
        CHECK(!"it is no network");
    } catch (const mfp::NetworkError& error) {
        CHECK(is_utf8(error.what()));
    }
}

// Numbers are read and written alike, whatever std::locale::global() is.
void the_locale_is_left_out(const std::string& toy) {
    const auto pixels = noise_image(60, 80, 3, 4);
    mfp::SessionOptions size;
    size.longer_side = 64;
    for (const std::string& runtime : mfp::Network::runtimes()) {
        if (runtime.compare(0, 8, "tensorrt") == 0) continue;
        mfp::NetworkOptions options;
        options.runtime = runtime;
        options.threads = 1;
        const auto map = [&] {
            mfp::Session session(mfp::Network::load(toy, options), {pixels.data(), 60, 80}, size);
            session.click(40, 30);
            return session.probability().values;
        };
        const auto before = map();
        const CommaLocale commas;
        CHECK(map() == before);
    }
    const CommaLocale commas;
    what_a_file_says();
    CHECK_THROWS(mfp::check_contract("f", mfp::read_onnx(written("wide.onnx", model(graph(100))))), mfp::NetworkError,
                 "is fixed to 100;");
    mfp::NetworkOptions options;
    options.threads = 123456;
    CHECK_THROWS(mfp::Network::load(toy, options), mfp::OptionError, "1 to 1024, or 0 to leave it open, got 123456");
}

void files_that_are_refused() {
    int n = 0;
    const auto refused = [&](const std::string& data, const char* words) {
        const std::string path = written("refused_" + std::to_string(n++) + ".onnx", data);
        CHECK_THROWS(mfp::check_contract("f.onnx", mfp::read_onnx(path)), mfp::NetworkError, words);
    };
    refused("", "is no ONNX file");
    refused("no network", "is no ONNX file");
    refused(field(7, graph()), "is no ONNX file");
    refused(
        model(field(11, tensor("image", {-1, 3, -1, -1}))),
        "f.onnx is no MFP network: expected the inputs image, prev_mask, modulated_mask, clicks and the output logits, "
        "found the inputs image and the outputs none. Export one with");
    refused(model(graph(2)), "the batch of image is fixed to 2");
    refused(model(graph(-1, 48, 64, 4)), "expected image as N×3×H×W, found any×4×48×64");
    refused(model(graph(-1, 48, 64, 3, 10)), "expected image in float32");
    refused(model(graph(-1, 48, -1)), "both fixed or both open, found 48×any");
    refused(model(graph(), property("mfp.n_early", "seven")), "n_early='seven'");
    refused(model(graph(), property("mfp.r_max", "-1")), "r_max='-1'");
    refused(model(graph(), property("mfp.r_max", "nan")), "r_max='nan'");
    refused(model(graph() + field(5, number_field(14, 1))), "keeps weights in other files");
    CHECK_THROWS(mfp::Network::load(folder + "/absent.onnx"), mfp::Error, "");
    CHECK_THROWS(mfp::read_onnx(folder + "/absent.onnx"), mfp::NetworkError, "no such file");
    CHECK_THROWS(mfp::read_onnx(folder), mfp::NetworkError, "got a folder");
    CHECK_THROWS(mfp::read_onnx(written("network.plan", "x")), mfp::NetworkError, "ending in .onnx");
}

bool is_tensorrt(const std::string& runtime) { return runtime.compare(0, 8, "tensorrt") == 0; }

void options_that_are_refused(const std::string& toy) {
    mfp::NetworkOptions options;
    options.runtime = "tensorflow";
    CHECK_THROWS(mfp::Network::load(toy, options), mfp::OptionError, "unknown runtime 'tensorflow'");
    options = {};
    options.threads = -1;
    CHECK_THROWS(mfp::Network::load(toy, options), mfp::OptionError, "number of threads");
    options = {};
    options.precision = "int8";
    CHECK_THROWS(mfp::Network::load(toy, options), mfp::OptionError, "fp32, fp16, bf16");
    options = {};
    options.gpu = -1;
    CHECK_THROWS(mfp::Network::load(toy, options), mfp::OptionError, "number of a GPU, from 0, got -1");
    options = {};
    options.runtime = "tensorrt";
    CHECK_THROWS(mfp::Network::load(toy, options), mfp::NetworkError,
                 "toy.onnx runs on openvino, onnxruntime, not on tensorrt. Build a plan of it: mfp build");
    bool any = false;
    for (const std::string& runtime : mfp::Network::runtimes()) {
        if (is_tensorrt(runtime)) continue;
        any = true;
        const bool openvino = runtime == "openvino";
        options = {};
        options.runtime = runtime;
        options.threads = 1;
        CHECK_EQUAL(mfp::Network::load(toy, options)->runtime(), runtime);
        // keeps the contract, and is no graph that a runtime could run
        CHECK_THROWS(mfp::Network::load(folder + "/says.onnx", options), mfp::NetworkError,
                     openvino ? "OpenVINO cannot take" : "ONNX Runtime cannot load");
        CHECK_THROWS(
            mfp::Network::load(written("brain.onnx", model(graph(), property("mfp.precision", "bf16"))), options),
            mfp::OptionError, openvino ? "takes an fp32 file" : "no convolutions on a CPU");
        options.precision = "fp16";
        CHECK_THROWS(mfp::Network::load(toy, options), mfp::OptionError,
                     openvino ? "fp32 or bf16" : "which onnxruntime does not change; asked for fp16. Make such a file");
    }
    if (!any) CHECK_THROWS(mfp::Network::load(toy), mfp::RuntimeMissingError, "pip install openvino");
}

// The packaged network in FP32, and in FP16 where the runtime takes it: its own precision, nearly the same map.
void a_half_precision_file(const std::string& networks) {
    mfp::NetworkOptions options;
    options.runtime = "onnxruntime";
    const auto pixels = noise_image(120, 160, 3, 4);
    const auto map = [&](const std::shared_ptr<const mfp::Network>& network) {
        mfp::Session session(network, {pixels.data(), 120, 160});
        session.click(80, 60);
        return session.probability().values;
    };
    const auto full = mfp::Network::load(networks + "/lite0.onnx", options);
    const auto half = mfp::Network::load(networks + "/lite0_fp16.onnx", options);
    CHECK_EQUAL(full->info().precision, "fp32");
    CHECK_EQUAL(half->info().precision, "fp16");
    const auto a = map(full), b = map(half);
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += std::abs(a[i] - b[i]);
    CHECK(sum > 0 && sum / static_cast<double>(a.size()) < 5e-3);
    options.precision = "fp32";
    CHECK_THROWS(mfp::Network::load(networks + "/lite0_fp16.onnx", options), mfp::OptionError,
                 "is fp16, which onnxruntime does not change; asked for fp32. Load the fp32 file");
}

// compare_plans.py holds their messages against Python's; this is what depends on the build.
void plans() {
    const auto runtimes = mfp::Network::runtimes();
    CHECK_THROWS(mfp::Network::load(folder + "/absent.plan"), mfp::NetworkError, "no such file");
    CHECK_THROWS(mfp::Network::load(written("odd.PLAN", "odd")), mfp::PlanError, "is no plan file of mfp-engine");
    for (const std::string flavour : {"tensorrt", "tensorrt-rtx"}) {
        const std::string path = folder + "/" + flavour + ".plan";
        mfp::write_plan(path, mfp::Json::object({{"flavour", mfp::Json::of(flavour)}}), "plan", 4);
        mfp::NetworkOptions options;
        options.runtime = flavour == "tensorrt" ? "tensorrt-rtx" : "tensorrt";
        CHECK_THROWS(mfp::Network::load(path, options), mfp::NetworkError,
                     "is a plan of " + flavour + ", not of " + options.runtime);
        options.runtime = "openvino";
        CHECK_THROWS(mfp::Network::load(path, options), mfp::NetworkError,
                     "runs on tensorrt, tensorrt-rtx, not on openvino");
        options = {};
        options.threads = 2;
        if (std::count(runtimes.begin(), runtimes.end(), flavour)) {
            CHECK_THROWS(mfp::Network::load(path, options), mfp::OptionError, "a number of threads is for CPUs");
            CHECK_THROWS(mfp::Network::load(path), mfp::Error, "");  // no GPU, or no plan that it takes
        } else {
            CHECK_THROWS(mfp::Network::load(path), mfp::RuntimeMissingError, flavour + " is not part of this build");
        }
    }
}

void builds_that_are_refused(const std::string& toy) {
    const std::string plan = folder + "/toy.plan";
    const auto runtimes = mfp::Network::runtimes();
    const bool is_rtx = std::count(runtimes.begin(), runtimes.end(), "tensorrt-rtx");
    if (!is_rtx && !std::count(runtimes.begin(), runtimes.end(), "tensorrt")) {
        CHECK_THROWS(mfp::build_plan(toy, plan), mfp::RuntimeMissingError, "TensorRT is not part of this build");
        return;
    }
    const auto refused = [&](const char* words, auto change) {
        mfp::BuildOptions options;
        change(options);
        CHECK_THROWS(mfp::build_plan(toy, plan, options), mfp::OptionError, words);
    };
    CHECK_THROWS(mfp::build_plan(toy, toy), mfp::OptionError, "expected an output ending in .plan");
    CHECK_THROWS(mfp::build_plan(folder + "/absent.onnx", plan), mfp::NetworkError, "no such file");
    refused("three rising batches from 1 to 64, got (2, 1, 2)", [](auto& options) { options.batches = {2, 1, 2}; });
    refused("three rising sizes", [](auto& options) { options.sizes = {{{64, 64}, {32, 64}, {64, 64}}}; });
    refused("level from 0 to 5, got 6", [](auto& options) { options.level = 6; });
    refused("workspace limit of 1 to", [](auto& options) { options.workspace = 0; });
    refused("number of a GPU", [](auto& options) { options.gpu = -1; });
    if (!is_rtx) {
        refused("are for TensorRT for RTX", [](auto& options) { options.compute_capabilities = {"8.6"}; });
        return;
    }
    refused("compatibility are for TensorRT", [](auto& options) { options.version_compatible = true; });
    refused("does not build for compute capability 9.0", [](auto& options) { options.compute_capabilities = {"9.0"}; });
    // keeps the contract, and is no graph
    CHECK_THROWS(mfp::build_plan(folder + "/says.onnx", plan), mfp::BuildError, "cannot read");
    CHECK_THROWS(mfp::build_plan(toy, folder + "/no/such/folder.plan"), mfp::PlanError,
                 "cannot be written (No such file");
    CHECK(!std::filesystem::exists(plan));
}

// Whatever is done to a file: it is read, or refused.
void damaged_files(const std::string& toy) {
    std::ifstream stream(toy, std::ios::binary);
    const std::string whole((std::istreambuf_iterator<char>(stream)), {});
    CHECK(whole.size() > 100);
    std::mt19937 generator(3);
    const auto any = [&](std::size_t below) {
        return std::uniform_int_distribution<std::size_t>(0, below - 1)(generator);
    };
    for (int i = 0; i < 600; ++i) {
        std::string damaged = whole.substr(0, i % 2 ? whole.size() : any(whole.size()));
        for (int k = 0; !damaged.empty() && k < i % 5; ++k) damaged[any(damaged.size())] = static_cast<char>(any(256));
        const std::string path = written("damaged.onnx", damaged);
        try {
            mfp::check_contract("f", mfp::read_onnx(path));
        } catch (const mfp::NetworkError&) {
        }
    }
}

}  // namespace

int main(int, char** arguments) {
    folder = arguments[3];
    std::filesystem::create_directories(folder);
    what_a_file_says();
    texts_are_utf8();
    the_locale_is_left_out(arguments[1]);
    files_that_are_refused();
    options_that_are_refused(arguments[1]);
    plans();
    builds_that_are_refused(arguments[1]);
    damaged_files(arguments[1]);
    const auto runtimes = mfp::Network::runtimes();
    if (std::count(runtimes.begin(), runtimes.end(), "onnxruntime")) a_half_precision_file(arguments[2]);
    return report();
}
