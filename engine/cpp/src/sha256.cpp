// SHA-256 (FIPS 180-4).
#include "sha256.hpp"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>

namespace mfp {
namespace {

// The first 32 bits behind the point of the roots of the first primes: constants and first state by their definition.
struct Tables {
    std::uint32_t rounds[64], state[8];

    Tables() {
        int found = 0;
        for (int n = 2; found < 64; ++n) {
            bool prime = true;
            for (int d = 2; d * d <= n; ++d) prime = prime && n % d != 0;
            if (!prime) continue;
            const auto digits = [](long double root) {
                return static_cast<std::uint32_t>((root - std::floor(root)) * 4294967296.0L);
            };
            if (found < 8) state[found] = digits(std::sqrt(static_cast<long double>(n)));
            rounds[found++] = digits(std::cbrt(static_cast<long double>(n)));
        }
    }
};

std::uint32_t turned(std::uint32_t x, int bits) { return x >> bits | x << (32 - bits); }

void add_block(std::uint32_t* state, const std::uint32_t* rounds, const unsigned char* block) {
    std::uint32_t w[64];
    for (int i = 0; i < 16; ++i) {
        w[i] = static_cast<std::uint32_t>(block[4 * i]) << 24 | static_cast<std::uint32_t>(block[4 * i + 1]) << 16 |
               static_cast<std::uint32_t>(block[4 * i + 2]) << 8 | block[4 * i + 3];
    }
    for (int i = 16; i < 64; ++i) {
        const std::uint32_t a = w[i - 15], b = w[i - 2];
        w[i] =
            w[i - 16] + (turned(a, 7) ^ turned(a, 18) ^ a >> 3) + w[i - 7] + (turned(b, 17) ^ turned(b, 19) ^ b >> 10);
    }
    std::uint32_t s[8];
    std::memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; ++i) {
        const std::uint32_t e = s[4], a = s[0];
        const std::uint32_t first =
            s[7] + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + ((e & s[5]) ^ (~e & s[6])) + rounds[i] + w[i];
        const std::uint32_t second =
            (turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + ((a & s[1]) ^ (a & s[2]) ^ (s[1] & s[2]));
        std::memmove(s + 1, s, 7 * sizeof *s);
        s[4] += first;
        s[0] = first + second;
    }
    for (int i = 0; i < 8; ++i) state[i] += s[i];
}

}  // namespace

std::string sha256(const void* data, std::size_t size) {
    static const Tables tables;
    std::uint32_t state[8];
    std::memcpy(state, tables.state, sizeof state);
    const auto* bytes = static_cast<const unsigned char*>(data);
    std::size_t at = 0;
    for (; size - at >= 64; at += 64) add_block(state, tables.rounds, bytes + at);

    unsigned char tail[128] = {};
    const std::size_t rest = size - at, blocks = rest < 56 ? 1 : 2;
    if (rest) std::memcpy(tail, bytes + at, rest);
    tail[rest] = 0x80;
    const auto bits = static_cast<std::uint64_t>(size) * 8;
    for (int i = 0; i < 8; ++i) tail[64 * blocks - 1 - i] = static_cast<unsigned char>(bits >> (8 * i));
    for (std::size_t i = 0; i < blocks; ++i) add_block(state, tables.rounds, tail + 64 * i);

    std::string result;
    for (const std::uint32_t word : state) {
        char digits[12];
        std::snprintf(digits, sizeof digits, "%08x", static_cast<unsigned>(word));
        result += digits;
    }
    return result;
}

}  // namespace mfp
