// Unicode text: a file's text made safe to print, spelled as in Python, so that messages of both are the same.
#pragma once

#include <cstddef>
#include <string>

namespace mfp {

struct CodePoint {
    unsigned code;       // of a byte that is no UTF-8: 0xdc00 and the byte, as Python has it
    std::size_t length;  // bytes
    bool valid;
};

// The character that begins at byte `at`.
CodePoint code_point(const std::string& text, std::size_t at);

// Surrogates too, which are no characters; code_point() calls them invalid.
void append_utf8(std::string& text, unsigned code);

// Whether a terminal shows it as one character: no control character, no space but the plain one, nothing private.
bool is_printable(unsigned code);

// What is printable of a text, 200 characters at most.
std::string printable(const std::string& text);

// What is printable of a text's first 200 characters: a network file's text, as engine/contract.py cleans it.
std::string clean(const std::string& text);

// The text with U+FFFD in place of each byte, or encoded surrogate, that is no UTF-8.
std::string valid_utf8(const std::string& text);

// As a word of a shell's command.
std::string shell_quoted(const std::string& word);

// Bytes as Python writes them: b'\x89PNG'.
std::string bytes_literal(const std::string& bytes);

}  // namespace mfp
