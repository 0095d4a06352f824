// Checks that say where they failed and with what; main() returns report().
#pragma once

#include <cstdio>
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
