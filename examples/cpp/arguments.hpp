// The command line of the examples: options that begin with --, then words.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

#include "mfp/session.hpp"

constexpr const char* options_usage = "[--runtime NAME] [--threads N] [--no-flip]";

struct Arguments {
    mfp::NetworkOptions network;
    mfp::SessionOptions session;
    std::vector<std::string> words;
};

// A whole number from `least` on. Throws std::invalid_argument.
inline int whole_number(const std::string& name, const std::string& text, int least) {
    char* end = nullptr;
    const long value = std::strtol(text.c_str(), &end, 10);
    if (text.empty() || *end || value < least || value > 1000000000) {
        throw std::invalid_argument("expected a whole number from " + std::to_string(least) + " for " + name +
                                    ", got " + text);
    }
    return static_cast<int>(value);
}

// Throws std::invalid_argument: an option that is not known, or lacks its value.
inline Arguments parsed(int count, char** arguments) {
    Arguments result;
    for (int i = 1; i < count; ++i) {
        const std::string word = arguments[i];
        const auto value = [&] {
            if (i + 1 == count) throw std::invalid_argument("expected a value after " + word);
            return std::string(arguments[++i]);
        };
        if (word == "--runtime") {
            result.network.runtime = value();
        } else if (word == "--threads") {
            result.network.threads = whole_number(word, value(), 0);
        } else if (word == "--no-flip") {
            result.session.flip = false;
        } else if (word.compare(0, 2, "--") == 0) {
            throw std::invalid_argument("unknown option " + word + "; expected " + options_usage);
        } else {
            result.words.push_back(word);
        }
    }
    return result;
}
