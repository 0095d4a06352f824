// Unicode text: decoding of UTF-8, printable characters, and Python's spellings for messages.
#include "unicode.hpp"

#include <cstdio>
#include <iterator>

#include "mfp/errors.hpp"

namespace mfp {
namespace {

constexpr std::size_t max_text = 200;  // characters, as in engine/contract.py

// First and last of what is not printable: controls, spaces, marks of direction, surrogates, private use, unassigned.
constexpr unsigned hidden[][2] = {{0x00, 0x1f},       {0x7f, 0xa0},       {0xad, 0xad},       {0x0600, 0x0605},
                                  {0x061c, 0x061c},   {0x06dd, 0x06dd},   {0x1680, 0x1680},   {0x180e, 0x180e},
                                  {0x2000, 0x200f},   {0x2028, 0x202f},   {0x205f, 0x206f},   {0x3000, 0x3000},
                                  {0xd800, 0xf8ff},   {0xfeff, 0xfeff},   {0xfff0, 0xfffb},   {0xfffe, 0xffff},
                                  {0x1d173, 0x1d17a}, {0xe0000, 0xe00ff}, {0xf0000, 0x10ffff}};

}  // namespace

CodePoint code_point(const std::string& text, std::size_t at) {
    const auto byte = [&](std::size_t i) {
        return at + i < text.size() ? static_cast<unsigned>(static_cast<unsigned char>(text[at + i])) : 0u;
    };
    const unsigned first = byte(0);
    if (first < 0x80) return {first, 1, true};
    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    unsigned code = length == 4 ? first & 0x07 : length == 3 ? first & 0x0f : first & 0x1f;
    bool whole = first >= 0xc2 && first <= 0xf4;
    for (std::size_t i = 1; i < length; ++i) {
        whole = whole && (byte(i) & 0xc0) == 0x80;
        code = code << 6 | (byte(i) & 0x3f);
    }
    constexpr unsigned smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    if (!whole || code < smallest[length] || code > 0x10ffff) return {0xdc00 | first, 1, false};
    return {code, length, code < 0xd800 || code > 0xdfff};
}

void append_utf8(std::string& text, unsigned code) {
    const auto put = [&](unsigned byte) { text += static_cast<char>(byte); };
    if (code < 0x80) {
        put(code);
        return;
    }
    if (code < 0x800) {
        put(0xc0 | code >> 6);
    } else if (code < 0x10000) {
        put(0xe0 | code >> 12);
        put(0x80 | (code >> 6 & 0x3f));
    } else {
        put(0xf0 | code >> 18);
        put(0x80 | (code >> 12 & 0x3f));
        put(0x80 | (code >> 6 & 0x3f));
    }
    put(0x80 | (code & 0x3f));
}

bool is_printable(unsigned code) {
    for (const auto& [first, last] : hidden) {
        if (first <= code && code <= last) return false;
    }
    return true;
}

std::string printable(const std::string& text) {
    std::string result;
    std::size_t count = 0, shorter = 0;  // characters; bytes of the first max_text - 1 of them
    for (std::size_t i = 0; i < text.size();) {
        const CodePoint point = code_point(text, i);
        if (is_printable(point.code)) {
            if (count == max_text - 1) shorter = result.size();
            result += text.substr(i, point.length);
            ++count;
        }
        i += point.length;
    }
    return count <= max_text ? result : result.substr(0, shorter) + "…";
}

std::string clean(const std::string& text) {
    std::string result;
    std::size_t count = 0;
    for (std::size_t i = 0; i < text.size() && count < max_text; ++count) {
        const CodePoint point = code_point(text, i);
        if (is_printable(point.code)) result += text.substr(i, point.length);
        i += point.length;
    }
    return result;
}

std::string valid_utf8(const std::string& text) {
    std::string result;
    for (std::size_t i = 0; i < text.size();) {
        const CodePoint point = code_point(text, i);
        result += point.valid ? text.substr(i, point.length) : "\xef\xbf\xbd";
        i += point.length;
    }
    return result;
}

// Every message goes through here, so that one with the bytes of a path or of a runtime's own message is UTF-8 too.
Error::Error(const std::string& message) : std::runtime_error(valid_utf8(message)) {}

std::string shell_quoted(const std::string& word) {
    bool plain = !word.empty();
    std::string result = "'";
    for (const char c : word) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        plain = plain && (letter || std::string("_@%+=:,./-").find(c) != std::string::npos);
        result += c == '\'' ? "'\"'\"'" : std::string(1, c);
    }
    return plain ? word : result + "'";
}

std::string bytes_literal(const std::string& bytes) {
    const bool has_single = bytes.find('\'') != std::string::npos, has_double = bytes.find('"') != std::string::npos;
    const char quote = has_single && !has_double ? '"' : '\'';
    std::string result = std::string("b") + quote;
    for (const char c : bytes) {
        const auto byte = static_cast<unsigned char>(c);
        if (c == quote || c == '\\') {
            result += std::string("\\") + c;
        } else if (c == '\t' || c == '\n' || c == '\r') {
            result += c == '\t' ? "\\t" : c == '\n' ? "\\n" : "\\r";
        } else if (byte >= 0x20 && byte < 0x7f) {
            result += c;
        } else {
            char digits[8];
            std::snprintf(digits, sizeof digits, "\\x%02x", byte);
            result += digits;
        }
    }
    return result + quote;
}

}  // namespace mfp
