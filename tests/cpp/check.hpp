// Checks that say where they failed and with what; main() returns report().
#pragma once

#include <cstdio>
#include <locale>
#include <sstream>
#include <string>

inline int& failures() {
    static int count = 0;
    return count;
}

inline void failed(const char* file, int line, const std::string& what) {
    std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
    ++failures();
}

inline int report() {
    std::fprintf(stderr, failures() ? "%d checks failed\n" : "all checks passed\n", failures());
    return failures() != 0;
}

// While it lives, streams that are made write numbers as in German, 1.920,5: the facets of a locale that every system has.
class CommaLocale {
public:
    CommaLocale() : before_(std::locale::global(std::locale(std::locale::classic(), new Commas))) {}
    ~CommaLocale() { std::locale::global(before_); }
    CommaLocale(const CommaLocale&) = delete;
    CommaLocale& operator=(const CommaLocale&) = delete;

private:
    struct Commas : std::numpunct<char> {
        char do_decimal_point() const override { return ','; }
        char do_thousands_sep() const override { return '.'; }
        std::string do_grouping() const override { return "\3"; }
    };
    std::locale before_;
};

#define CHECK(condition)                                          \
    do {                                                          \
        if (!(condition)) failed(__FILE__, __LINE__, #condition); \
    } while (0)

#define CHECK_EQUAL(a, b)                                               \
    do {                                                                \
        const auto left = (a);                                          \
        const auto right = (b);                                         \
        std::ostringstream values;                                      \
        values << #a " == " #b ": " << left << " and " << right;        \
        if (!(left == right)) failed(__FILE__, __LINE__, values.str()); \
    } while (0)

// The expression throws exactly `Type` (or one below it), with a message that holds `words`.
#define CHECK_THROWS(expression, Type, words)                                                              \
    do {                                                                                                   \
        try {                                                                                              \
            expression;                                                                                    \
            failed(__FILE__, __LINE__, #expression " did not throw");                                      \
        } catch (const Type& error) {                                                                      \
            if (std::string(error.what()).find(words) == std::string::npos) {                              \
                failed(__FILE__, __LINE__, std::string("expected '") + (words) + "' in: " + error.what()); \
            }                                                                                              \
        }                                                                                                  \
    } while (0)
