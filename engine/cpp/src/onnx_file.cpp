// Reader of an ONNX file's signature and metadata: the few protobuf fields that this needs.
#include "onnx_file.hpp"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <set>

#include "text.hpp"

namespace mfp {
namespace {

namespace fs = std::filesystem;

// Numbers of fields in onnx.proto3.
namespace field {
constexpr int model_graph = 7, model_opset_import = 8, model_metadata = 14;
constexpr int graph_initializer = 5, graph_input = 11, graph_output = 12;
constexpr int tensor_dims = 1, tensor_data_type = 2, tensor_name = 8, tensor_data_location = 14;
constexpr int entry_key = 1, entry_value = 2;
constexpr int value_name = 1, value_type = 2, type_tensor = 1, tensor_type_element = 1, tensor_type_shape = 2;
constexpr int shape_dim = 1, dim_value = 1;
}  // namespace field

constexpr std::uint64_t onnx_float32 = 1, onnx_float16 = 10, onnx_bfloat16 = 16, onnx_external = 1;

struct Malformed {};  // never leaves this file

// A protobuf message in memory: its fields one after another. Every length is held against what is left.
class Message {
public:
    Message(const char* begin, const char* end) : at_(begin), end_(end) {}

    // Goes to the next field; false at the end. Then number(), and value() or bytes() by its kind.
    bool next() {
        if (at_ == end_) return false;
        const std::uint64_t key = varint();
        number_ = static_cast<int>(key >> 3);
        kind_ = static_cast<int>(key & 7);
        if (key >> 32 || number_ == 0) throw Malformed();
        if (kind_ == 0) {
            value_ = varint();
        } else if (kind_ == 1 || kind_ == 5) {
            skip(kind_ == 1 ? 8 : 4);
        } else if (kind_ == 2) {
            const std::uint64_t length = varint();
            begin_ = at_;
            skip(length);
        } else {
            throw Malformed();
        }
        return true;
    }

    int number() const { return number_; }
    bool is_number() const { return kind_ == 0; }

    std::uint64_t value() const {
        if (kind_ != 0) throw Malformed();
        return value_;
    }

    Message message() const {
        if (kind_ != 2) throw Malformed();
        return {begin_, at_};
    }

    std::string bytes() const {
        if (kind_ != 2) throw Malformed();
        return {begin_, at_};
    }

private:
    std::uint64_t varint() {
        std::uint64_t value = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            if (at_ == end_) throw Malformed();
            const auto byte = static_cast<unsigned char>(*at_++);
            value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
            if (!(byte & 0x80)) return value;
        }
        throw Malformed();
    }

    void skip(std::uint64_t length) {
        if (length > static_cast<std::uint64_t>(end_ - at_)) throw Malformed();
        at_ += length;
    }

    const char *at_, *end_, *begin_ = nullptr;
    int number_ = 0, kind_ = 0;
    std::uint64_t value_ = 0;
};

std::vector<long long> read_shape(Message shape) {
    std::vector<long long> sides;
    while (shape.next()) {
        if (shape.number() != field::shape_dim) continue;
        long long side = -1;
        for (Message dim = shape.message(); dim.next();) {
            if (dim.number() == field::dim_value) side = static_cast<long long>(dim.value());
        }
        sides.push_back(side);
    }
    return sides;
}

OnnxTensor read_tensor(Message info) {
    OnnxTensor tensor;
    while (info.next()) {
        if (info.number() == field::value_name) tensor.name = info.bytes();
        if (info.number() != field::value_type) continue;
        for (Message type = info.message(); type.next();) {
            if (type.number() != field::type_tensor) continue;
            for (Message inner = type.message(); inner.next();) {
                if (inner.number() == field::tensor_type_element) tensor.is_float32 = inner.value() == onnx_float32;
                if (inner.number() == field::tensor_type_shape) tensor.shape = read_shape(inner.message());
            }
        }
    }
    return tensor;
}

void read_graph(Message graph, OnnxFile& file) {
    std::set<std::string> weights;
    std::vector<OnnxTensor> inputs;
    while (graph.next()) {
        if (graph.number() == field::graph_input) inputs.push_back(read_tensor(graph.message()));
        if (graph.number() == field::graph_output) file.outputs.push_back(read_tensor(graph.message()));
        if (graph.number() != field::graph_initializer) continue;
        double count = 1;
        for (Message tensor = graph.message(); tensor.next();) {
            if (tensor.number() == field::tensor_dims && tensor.is_number())
                count *= static_cast<double>(tensor.value());
            if (tensor.number() == field::tensor_name) weights.insert(tensor.bytes());
            if (tensor.number() == field::tensor_data_location) {
                file.has_external_weights |= tensor.value() == onnx_external;
            }
            if (tensor.number() == field::tensor_data_type) {
                file.has_fp16_weights |= tensor.value() == onnx_float16;
                file.has_bf16_weights |= tensor.value() == onnx_bfloat16;
            }
        }
        file.weights += count;
    }
    for (OnnxTensor& input : inputs) {
        if (!weights.count(input.name)) file.inputs.push_back(std::move(input));
    }
}

}  // namespace

void check_is_file(const std::string& path) {
    const fs::path source = fs::u8path(path);
    std::error_code none;
    if (fs::is_directory(source, none)) throw NetworkError("expected a network file, got a folder: " + path);
    if (!fs::is_regular_file(source, none)) {
        const std::string name = source.has_filename() ? source.filename().u8string() : "hrnet18";
        throw NetworkError(
            text("no such file: ", path, ". Export a network with: mfp export --backbone hrnet18 --output ", name,
                 source.has_extension() ? "" : ".onnx", "; or load \"lite0\", which ships with the library"));
    }
}

OnnxFile read_onnx(const std::string& path) {
    check_is_file(path);
    const fs::path source = fs::u8path(path);
    std::error_code none;
    if (source.extension() != ".onnx") {
        throw NetworkError(text(path, ": expected a file ending in .onnx, got '", source.extension().u8string(), "'"));
    }
    std::ifstream stream(source, std::ios::binary);
    const auto size = fs::file_size(source, none);
    std::string data(none ? 0 : static_cast<std::size_t>(size), '\0');
    if (none || !stream.read(data.data(), static_cast<std::streamsize>(data.size()))) {
        throw NetworkError("cannot read " + path + ": check that it may be read");
    }

    OnnxFile file;
    bool has_graph = false, has_opset = false;
    try {
        for (Message model(data.data(), data.data() + data.size()); model.next();) {
            if (model.number() == field::model_graph) {
                has_graph = true;
                read_graph(model.message(), file);
            } else if (model.number() == field::model_opset_import) {
                has_opset = true;
            } else if (model.number() == field::model_metadata) {
                std::string key, value;
                for (Message entry = model.message(); entry.next();) {
                    if (entry.number() == field::entry_key) key = entry.bytes();
                    if (entry.number() == field::entry_value) value = entry.bytes();
                }
                file.metadata[key] = value;
            }
        }
    } catch (const Malformed&) {
        has_graph = false;
    }
    if (!has_graph || !has_opset) throw NetworkError(path + " is no ONNX file. Export one with: mfp export");
    return file;
}

}  // namespace mfp
