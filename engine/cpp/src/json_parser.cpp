// JSON parser that accepts what Python's json.loads accepts.
#include <cstring>

#include "json.hpp"
#include "text.hpp"
#include "unicode.hpp"

namespace mfp {
namespace {

constexpr int max_depth = 32;
constexpr std::size_t max_digits = 4300;  // of an integer: Python's own limit

class Parser {
public:
    explicit Parser(const std::string& bytes) : begin_(bytes.data()), at_(begin_), end_(begin_ + bytes.size()) {}

    Json document() {
        skip_space();
        Json value = this->value(1);
        skip_space();
        if (at_ != end_) fail("Extra data", at_);
        return value;
    }

private:
    // In Python's words, with its line, column and place in characters.
    [[noreturn]] void fail(const char* what, const char* where) const {
        int line = 1, column = 1, place = 0;
        for (const char* c = begin_; c < where; ++c) {
            if ((static_cast<unsigned char>(*c) & 0xc0) == 0x80) continue;  // not the first byte of a character
            ++place;
            ++column;
            if (*c == '\n') {
                ++line;
                column = 1;
            }
        }
        throw JsonError(mfp::text(what, ": line ", line, " column ", column, " (char ", place, ")"));
    }

    void skip_space() {
        while (at_ != end_ && std::strchr(" \t\n\r", *at_) && *at_) ++at_;
    }

    bool take(char c) {
        if (at_ == end_ || *at_ != c) return false;
        ++at_;
        return true;
    }

    bool take(const char* word) {
        const std::size_t length = std::strlen(word);
        if (static_cast<std::size_t>(end_ - at_) < length || std::memcmp(at_, word, length) != 0) return false;
        at_ += length;
        return true;
    }

    Json value(int depth) {
        if (at_ == end_) fail("Expecting value", at_);
        if (*at_ == '"') return Json::of(string());
        if (*at_ == '{' || *at_ == '[') {
            // refused here already, where the stack is short
            if (depth > max_depth) throw JsonError(mfp::text("nested deeper than ", max_depth));
            return *at_ == '{' ? object(depth) : list(depth);
        }
        if (take("null")) return {};
        if (take("true")) return Json::of(true);
        if (take("false")) return Json::of(false);
        for (const char* word : {"NaN", "Infinity", "-Infinity"}) {
            if (take(word)) throw JsonError(mfp::text(word, " is no finite number"));
        }
        return number();
    }

    Json object(int depth) {
        Json result = Json::object();
        ++at_;
        skip_space();
        if (take('}')) return result;
        for (;;) {
            if (at_ == end_ || *at_ != '"') fail("Expecting property name enclosed in double quotes", at_);
            std::string name = string();
            skip_space();
            if (!take(':')) fail("Expecting ':' delimiter", at_);
            skip_space();
            result.members.emplace_back(std::move(name), value(depth + 1));
            skip_space();
            if (take('}')) return result;
            if (!take(',')) fail("Expecting ',' delimiter", at_);
            skip_space();
        }
    }

    Json list(int depth) {
        Json result = Json::list();
        ++at_;
        skip_space();
        if (take(']')) return result;
        for (;;) {
            result.items.push_back(value(depth + 1));
            skip_space();
            if (take(']')) return result;
            if (!take(',')) fail("Expecting ',' delimiter", at_);
            skip_space();
        }
    }

    Json number() {
        const char* start = at_;
        const auto digits = [&] {
            const char* first = at_;
            while (at_ != end_ && *at_ >= '0' && *at_ <= '9') ++at_;
            return at_ - first;
        };
        take('-');
        const char* whole = at_;
        if (!take('0') && !digits()) {
            at_ = start;
            fail("Expecting value", start);
        }
        const auto length = static_cast<std::size_t>(at_ - whole);
        bool real = false;
        const char* after = at_;  // of what is a number so far
        if (take('.')) {
            if (digits()) {
                after = at_;
                real = true;
            }
            at_ = after;
        }
        if (take('e') || take('E')) {
            if (!take('+')) take('-');
            if (digits()) {
                after = at_;
                real = true;
            }
            at_ = after;
        }
        Json result;
        result.kind = real ? Json::Kind::real : Json::Kind::integer;
        result.text.assign(start, at_);
        if (real && !read_number(result.text)) throw JsonError(result.text.substr(0, 20) + " is no finite number");
        if (!real && length > max_digits) {
            throw JsonError(mfp::text("expected at most ", max_digits, " digits, found a number of ", length));
        }
        return result;
    }

    unsigned four_digits() {
        unsigned code = 0;
        const char* start = at_;
        for (int i = 0; i < 4; ++i, ++at_) {
            const char* digits = "0123456789abcdef";
            const char* found =
                at_ == end_ || !*at_ ? nullptr : std::strchr(digits, *at_ >= 'A' && *at_ <= 'F' ? *at_ + 32 : *at_);
            if (!found) fail("Invalid \\uXXXX escape", start);
            code = code << 4 | static_cast<unsigned>(found - digits);
        }
        return code;
    }

    std::string string() {
        const char* quote = at_++;
        std::string result;
        for (;;) {
            if (at_ == end_) fail("Unterminated string starting at", quote);
            const char c = *at_++;
            if (c == '"') return result;
            if (static_cast<unsigned char>(c) < 0x20) fail("Invalid control character at", at_ - 1);
            if (c != '\\') {
                result += c;
                continue;
            }
            if (at_ == end_) fail("Unterminated string starting at", quote);
            const char* kinds = "\"\\/bfnrt";
            const char* escape = *at_ ? std::strchr(kinds, *at_) : nullptr;
            if (escape) {
                result += "\"\\/\b\f\n\r\t"[escape - kinds];
                ++at_;
            } else if (take('u')) {
                unsigned code = four_digits();
                if (code >= 0xd800 && code < 0xdc00 && end_ - at_ >= 6 && at_[0] == '\\' && at_[1] == 'u') {
                    const char* before = at_;
                    at_ += 2;
                    const unsigned low = four_digits();
                    if (low >= 0xdc00 && low < 0xe000) {
                        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    } else {
                        at_ = before;
                    }
                }
                append_utf8(result, code);
            } else {
                fail("Invalid \\escape", at_ - 1);
            }
        }
    }

    const char *begin_, *at_, *end_;
};

const char* python_name(Json::Kind kind) {
    constexpr const char* names[] = {"NoneType", "bool", "int", "float", "str", "list", "dict"};
    return names[static_cast<int>(kind)];
}

}  // namespace

Json parse_json_object(const std::string& bytes) {
    for (std::size_t i = 0; i < bytes.size();) {
        const CodePoint point = code_point(bytes, i);
        if (!point.valid) throw JsonError(text("its byte ", i, " is no UTF-8"));
        i += point.length;
    }
    Json value = Parser(bytes).document();
    if (!value.is(Json::Kind::object)) throw JsonError(text("expected an object, found ", python_name(value.kind)));
    return value;
}

}  // namespace mfp
