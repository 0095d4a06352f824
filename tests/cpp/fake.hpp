// A network of the tests' own, without a runtime: logits that depend on every input, quickly.
#pragma once

#include <atomic>
#include <cmath>
#include <limits>

#include "backend.hpp"

struct FakeSwitches {
    std::atomic<int> passes{0};
    std::atomic<bool> throws{false}, not_finite{false};
};

class FakeBackend : public mfp::HostBackend {
public:
    FakeBackend(mfp::NetworkInfo info, std::shared_ptr<FakeSwitches> switches)
        : HostBackend("fake", std::move(info)), switches_(std::move(switches)) {}

    void run(const mfp::Tensors& t) const override {
        ++switches_->passes;
        if (switches_->throws) throw mfp::NetworkError("the fake network was told to fail");
        const std::size_t area = static_cast<std::size_t>(t.height) * t.width;
        for (int item = 0; item < t.batch; ++item) {
            const float *image = t.image + 3 * item * area, *clicks = t.clicks + 2 * item * area;
            const float *prev = t.prev_mask + item * area, *modulated = t.modulated_mask + item * area;
            for (std::size_t i = 0; i < area; ++i) {
                t.logits[item * area + i] = 4 * (image[i] + image[area + i] - image[2 * area + i] - 0.4f) + prev[i] +
                                            2 * modulated[i] + 1.5f * clicks[i] - 1.5f * clicks[area + i];
            }
        }
        if (switches_->not_finite) t.logits[area - 1] = std::numeric_limits<float>::infinity();
    }

private:
    std::shared_ptr<FakeSwitches> switches_;
};

inline std::shared_ptr<const mfp::Network> fake_network(std::shared_ptr<FakeSwitches> switches = nullptr,
                                                        mfp::NetworkInfo info = {}) {
    if (!switches) switches = std::make_shared<FakeSwitches>();
    return std::make_shared<const mfp::Network>(
        std::make_unique<const FakeBackend>(std::move(info), std::move(switches)));
}

// A photograph of nothing in particular.
inline std::vector<std::uint8_t> noise_image(int height, int width, int channels, unsigned seed) {
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(height) * width * channels);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
        seed = seed * 1664525u + 1013904223u;
        pixels[i] = static_cast<std::uint8_t>((seed >> 24) / 4 + 90 * (1 + std::sin(static_cast<double>(i) * 1e-3)));
    }
    return pixels;
}
