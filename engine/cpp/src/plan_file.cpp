// Reader and writer of the .plan file; engine/plans/plan_file.py describes the format.
#include "plan_file.hpp"

#include <locale.h>
#ifdef __APPLE__
#include <xlocale.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "mfp/errors.hpp"
#include "sha256.hpp"
#include "text.hpp"
#include "unicode.hpp"

namespace mfp {
namespace {

namespace fs = std::filesystem;

const std::string magic = "MFPPLAN1";
constexpr int schema_known = 1;  // of the metadata; newer ones are refused
constexpr std::size_t alignment = 64, head_size = 12, max_json = 4 << 20, max_source = 200;

std::size_t aligned(std::size_t length) { return (length + alignment - 1) / alignment * alignment; }

[[noreturn]] void refuse(const std::string& path, const std::string& reason, const Json& metadata = {},
                         const char* remedy = "Build") {
    throw PlanError(text(path, " ", reason, ". ", remedy, " it again with: ", rebuild_command(metadata)));
}

// What a foreign file seems to be.
std::string kind_of(const std::string& head) {
    if (head.empty()) return "it is empty";
    if (head.compare(1, 3, "trt") == 0) {
        return "it seems to be a bare TensorRT plan, which does not say what it is";
    }
    // field 1, then 2, 7 or 8 of an ONNX ModelProto
    if (head[0] == '\x08' && head.size() > 2 && (head[2] == '\x12' || head[2] == '\x3a' || head[2] == '\x42')) {
        return "it seems to be an ONNX file, from which one is built";
    }
    return text("it starts with ", bytes_literal(head.substr(0, magic.size())), " instead of ", bytes_literal(magic));
}

bool is_sha256(const std::string& digest) {
    return digest.size() == 64 && digest.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool is_integer(const Json* value) { return value && value->is(Json::Kind::integer); }

// An integer as Python prints it.
std::string plain(const std::string& digits) { return digits == "-0" ? "0" : digits; }

// Whether an integer's text is above a small number.
bool is_above(const std::string& digits, int number) {
    return digits[0] != '-' && (digits.size() > 6 || std::stoi(digits) > number);
}

// In English, whatever the program's locale.
std::string reason_of(int error) {
    const int known = error ? error : EIO;
#ifndef _WIN32
    if (const locale_t plain = newlocale(LC_ALL_MASK, "C", nullptr)) {
        const std::string reason = strerror_l(known, plain);
        freelocale(plain);
        return reason;
    }
#endif
    return std::strerror(known);
}

class Reader {
public:
    explicit Reader(const std::string& path) : path_(path) {
        const fs::path source = fs::u8path(path);
        std::error_code none;
        if (!fs::is_regular_file(source, none)) {  // nor a pipe, which would wait for a writer
            refuse(path, fs::exists(source, none) ? "is no file" : "does not exist");
        }
        errno = 0;
        stream_.open(source, std::ios::binary);
        size_ = stream_ ? static_cast<std::size_t>(fs::file_size(source, none)) : 0;
        if (!stream_ || none) refuse(path, text("cannot be read (", reason_of(errno), ")"));
    }

    // Up to `length` bytes; fewer where the file ends.
    std::string take(std::size_t length) {
        std::string bytes(std::min(length, size_ - at_), '\0');
        stream_.read(bytes.data(), static_cast<std::streamsize>(bytes.size()));
        bytes.resize(static_cast<std::size_t>(std::max<std::streamsize>(stream_.gcount(), 0)));
        at_ += bytes.size();
        return bytes;
    }

    std::size_t size() const { return size_; }

private:
    const std::string& path_;
    std::ifstream stream_;
    std::size_t size_ = 0, at_ = 0;
};

Json read_front(const std::string& path, Reader& file) {
    const std::string head = file.take(head_size);
    if (head.compare(0, magic.size(), magic) != 0) {
        refuse(path, "is no plan file of mfp-engine: " + kind_of(head));
    }
    if (head.size() < head_size) refuse(path, text("is truncated: it ends after ", file.size(), " bytes"));
    std::size_t length = 0;
    for (int i = 3; i >= 0; --i) length = length << 8 | static_cast<unsigned char>(head[magic.size() + i]);
    if (length > std::min(max_json, file.size() - head_size)) {
        refuse(path, text("is truncated or damaged: it promises ", length, " bytes of metadata, and has ", file.size(),
                          " bytes in all"));
    }
    Json metadata;
    try {
        metadata = parse_json_object(file.take(length));
    } catch (const JsonError& error) {
        refuse(path, text("is damaged: its metadata is no JSON object (", error.what(), ")"));
    }

    const Json* schema = metadata.find("schema");
    if (is_integer(schema) && is_above(schema->text, schema_known)) {
        refuse(path,
               text("was made by a newer mfp-engine (schema ", schema->text.substr(0, 9), ", this version reads ",
                    schema_known, ")"),
               metadata, "Update mfp-engine, or build");
    }
    const std::size_t offset = aligned(head_size + length);
    const std::string padding = file.take(offset - head_size - length);
    const std::string* digest = metadata.find_text("plan_sha256");
    const Json* plan_bytes = metadata.find("plan_bytes");
    const bool known =
        is_integer(schema) && schema->text == std::to_string(schema_known) && digest && is_sha256(*digest);
    if (!known || !is_integer(plan_bytes) || padding.find_first_not_of('\0') != std::string::npos) {
        refuse(path, "is damaged: its metadata does not say what every plan file's says", metadata);
    }
    const std::size_t found = file.size() > offset ? file.size() - offset : 0;
    const std::string promised = plain(plan_bytes->text);
    if (promised != std::to_string(found) || file.size() < offset) {
        refuse(path,
               text("is truncated or damaged: expected a plan of ", promised.substr(0, 20), " bytes, found ", found),
               metadata);
    }
    return metadata;
}

}  // namespace

PlanFile read_plan(const std::string& path) {
    Reader file(path);
    PlanFile result;
    result.metadata = read_front(path, file);
    const std::string& expected = *result.metadata.find_text("plan_sha256");
    result.plan = file.take(file.size());
    const std::string found = sha256(result.plan.data(), result.plan.size());
    if (found != expected) {
        refuse(path,
               text("is damaged: it was written with a plan of SHA-256 ", expected.substr(0, 12),
                    "…, the plan in it has ", found.substr(0, 12), "…"),
               result.metadata);
    }
    return result;
}

void write_plan(const std::string& path, Json metadata, const void* plan, std::size_t size) {
    metadata.members.emplace_back("schema", Json::of(static_cast<long long>(schema_known)));
    metadata.members.emplace_back("plan_sha256", Json::of(sha256(plan, size)));
    metadata.members.emplace_back("plan_bytes", Json::of(static_cast<long long>(size)));
    const std::string json = to_text(metadata);
    std::string front = magic;
    for (int i = 0; i < 4; ++i) front += static_cast<char>(json.size() >> (8 * i) & 0xff);
    front += json;
    front.resize(aligned(front.size()), '\0');
    const std::string problem = replace_file(path, front, plan, size);
    if (!problem.empty()) {
        throw PlanError(
            text(path, " cannot be written (", problem, "): the folder must exist, be writable and have room for it"));
    }
}

std::string rebuild_command(const Json& metadata) {
    const std::string* source = metadata.find_text("source");
    std::size_t characters = 0;
    bool known = source && !source->empty();
    for (std::size_t i = 0; known && i < source->size(); ++characters) {
        const CodePoint point = code_point(*source, i);
        known = is_printable(point.code);
        i += point.length;
    }
    return "mfp build " + (known && characters <= max_source ? shell_quoted(*source) : "MODEL.onnx");
}

std::string replace_file(const std::string& path, const std::string& front, const void* data, std::size_t size) {
    const fs::path target = fs::u8path(path);
    const fs::path partial = fs::u8path(text(path, ".", std::random_device()(), ".tmp"));
    errno = 0;
    std::ofstream file(partial, std::ios::binary | std::ios::trunc);
    file.write(front.data(), static_cast<std::streamsize>(front.size()));
    file.write(static_cast<const char*>(data), static_cast<std::streamsize>(size));
    file.close();
    std::string problem = file ? "" : reason_of(errno);
    std::error_code failure, none;
    if (problem.empty()) {
        fs::rename(partial, target, failure);
        if (failure) problem = reason_of(failure.value());
    }
    if (!problem.empty()) fs::remove(partial, none);
    return problem;
}

}  // namespace mfp
