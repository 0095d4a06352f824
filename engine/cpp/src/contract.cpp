// The network contract of engine/contract.py: tensor names, shapes, and the metadata stored with a network.
#include <cmath>
#include <locale>
#include <sstream>

#include "limits.hpp"
#include "onnx_file.hpp"
#include "text.hpp"
#include "unicode.hpp"

namespace mfp {
namespace {

struct Expected {
    const char* name;
    int channels;
};

constexpr Expected expected_inputs[] = {{"image", 3}, {"prev_mask", 1}, {"modulated_mask", 1}, {"clicks", 2}};
constexpr const char* output = "logits";
constexpr const char* prefix = "mfp.";

const OnnxTensor* find(const std::vector<OnnxTensor>& tensors, const std::string& name) {
    for (const OnnxTensor& tensor : tensors) {
        if (tensor.name == name) return &tensor;
    }
    return nullptr;
}

std::string names(const std::vector<OnnxTensor>& tensors) {
    std::string list;
    for (const OnnxTensor& tensor : tensors) list += (list.empty() ? "" : ", ") + tensor.name;
    return list.empty() ? "none" : list;
}

std::string side(long long length) { return length < 0 ? "any" : std::to_string(length); }

std::string shape(const std::vector<long long>& sides) {
    std::string list;
    for (const long long length : sides) list += (list.empty() ? "" : "×") + side(length);
    return list;
}

void check_tensor(const std::string& file, const OnnxTensor& tensor, int channels) {
    if (!tensor.is_float32) {
        throw NetworkError(
            text(file, ": expected ", tensor.name, " in float32, whatever the precision inside. Export it again."));
    }
    if (tensor.shape.size() != 4 || (tensor.shape[1] >= 0 && tensor.shape[1] != channels)) {
        throw NetworkError(text(file, ": expected ", tensor.name, " as N×", channels, "×H×W, found ",
                                shape(tensor.shape), ". Export it again."));
    }
    if (tensor.shape[0] >= 0) {
        throw NetworkError(text(file, ": the batch of ", tensor.name, " is fixed to ", tensor.shape[0],
                                "; a session needs it open (1, or 2 with flip). Export it again."));
    }
}

std::optional<Size> check_signature(const std::string& file, const OnnxFile& onnx) {
    bool complete = onnx.inputs.size() == std::size(expected_inputs) && find(onnx.outputs, output);
    for (const Expected& expected : expected_inputs) complete = complete && find(onnx.inputs, expected.name);
    if (!complete) {
        throw NetworkError(text(file,
                                " is no MFP network: expected the inputs image, prev_mask, modulated_mask, clicks and "
                                "the output logits, found the inputs ",
                                names(onnx.inputs), " and the outputs ", names(onnx.outputs),
                                ". Export one with: mfp export --backbone hrnet18"));
    }
    for (const Expected& expected : expected_inputs) {
        check_tensor(file, *find(onnx.inputs, expected.name), expected.channels);
    }
    check_tensor(file, *find(onnx.outputs, output), 1);
    const std::vector<long long>& first = onnx.inputs[0].shape;
    for (const OnnxTensor& input : onnx.inputs) {
        if (input.shape[2] != first[2] || input.shape[3] != first[3]) {
            throw NetworkError(text(file, ": the inputs differ in size (", side(first[2]), "×", side(first[3]), ", ",
                                    side(input.shape[2]), "×", side(input.shape[3]), "). Export it again."));
        }
    }
    const long long height = first[2], width = first[3];
    if (height < 0 && width < 0) return std::nullopt;
    if (height < 0 || width < 0) {
        throw NetworkError(text(file, ": expected height and width both fixed or both open, found ", side(height), "×",
                                side(width), ". Export it again."));
    }
    if (height < 1 || height > max_side || width < 1 || width > max_side) {
        throw NetworkError(
            text(file, ": expected a size of 1 to ", max_side, " pixels a side, found ", height, "×", width, "."));
    }
    return Size{static_cast<int>(height), static_cast<int>(width)};
}

// The whole text as a number, whatever the locale.
template <class Number>
bool read_number(const std::string& value, Number& number) {
    std::istringstream stream(value);
    stream.imbue(std::locale::classic());
    return stream >> number && (stream >> std::ws).eof();
}

}  // namespace

NetworkInfo check_contract(const std::string& file, const OnnxFile& onnx) {
    if (onnx.has_external_weights) {
        throw NetworkError(file + " keeps weights in other files; expected one file with all. Export it again.");
    }
    NetworkInfo info;
    info.size = check_signature(file, onnx);
    const auto look_up = [&](const char* key, std::string fallback) {
        const auto found = onnx.metadata.find(std::string(prefix) + key);
        return found == onnx.metadata.end() ? fallback : found->second;
    };
    // files of other exporters do not say
    const bool one_half = onnx.has_fp16_weights != onnx.has_bf16_weights;
    info.precision = clean(look_up("precision", !one_half ? "fp32" : onnx.has_fp16_weights ? "fp16" : "bf16"));
    info.backbone = clean(look_up("backbone", info.backbone));
    info.weights = clean(look_up("weights", info.weights));
    info.exporter = clean(look_up("exporter", info.exporter));

    const std::string n_text = look_up("n_early", "7"), r_text = look_up("r_max", "100");
    long long n = 0;
    if (!read_number(n_text, n) || n < 0 || n > max_clicks || !read_number(r_text, info.r_max) || !(info.r_max > 0) ||
        !std::isfinite(info.r_max)) {
        throw NetworkError(text("the file's metadata says n_early='", clean(n_text), "' and r_max='", clean(r_text),
                                "'; expected a whole number from 0 and a positive number. Export the network again."));
    }
    info.n_early = static_cast<int>(n);
    return info;
}

}  // namespace mfp
