// Sessions on a GPU against sessions on the host: what the twin cannot show (test_device.cpp has the rest). Ends with 77
// where there is no GPU.
#include <thread>

#include "check.hpp"
#include "fake.hpp"
#include "mfp/cuda.hpp"
#include "on_cuda.hpp"

namespace {

constexpr int height = 151, width = 229, clicks = 8;

void click_all(mfp::Session& session) {
    for (int i = 0; i < clicks; ++i) session.click(37 * i % width, 61 * i % height, i % 3 != 1);
}

struct Fixture {
    explicit Fixture(std::shared_ptr<mfp::CudaDevice> on)
        : device(std::move(on)),
          host(fake_network()),
          network(on_cuda(host, device)),
          pixels(noise_image(height, width, 3, 5)) {
        small.size = mfp::Size{96, 128};
    }
    mfp::Image image() const { return {pixels.data(), height, width}; }

    std::shared_ptr<mfp::CudaDevice> device;
    std::shared_ptr<const mfp::Network> host, network;
    std::vector<std::uint8_t> pixels;
    mfp::SessionOptions small;
};

void equals_the_session_on_the_host(const Fixture& f) {
    for (const bool flip : {true, false}) {
        mfp::SessionOptions options = f.small;
        options.flip = flip;
        mfp::CudaSession there(f.network, f.image(), std::nullopt, options);
        mfp::Session here(f.host, f.image(), options);
        CHECK_EQUAL(there.why_eager(), "");
        for (int i = 0; i < clicks; ++i) {
            const double x = 37 * i % width, y = 61 * i % height;
            const mfp::Mask mask = there.click(x, y, i % 3 != 1), expected = here.click(x, y, i % 3 != 1);
            const mfp::Map a = there.probability(), b = here.probability();
            float largest = 0;
            int wrong = 0;
            for (std::size_t k = 0; k < a.values.size(); ++k) {
                largest = std::max(largest, std::abs(a.values[k] - b.values[k]));
                wrong += std::abs(b.values[k] - 0.5f) > 1e-3f && mask.pixels[k] != expected.pixels[k];
            }
            CHECK(largest < 1e-3f);
            CHECK_EQUAL(wrong, 0);
            CHECK_EQUAL(there.roi()->row_min, here.roi()->row_min);
            CHECK_EQUAL(there.roi()->col_max, here.roi()->col_max);
        }
        const mfp::Mask mask = there.mask();
        const auto map = there.probability().values;
        there.undo();
        CHECK(there.redo().pixels == mask.pixels);
        CHECK(there.probability().values == map);
    }
}

void memory_and_stream_of_the_callers(const Fixture& f) {
    mfp::CudaDevice& device = *f.device;
    const mfp::DeviceStream stream(f.device);
    const mfp::DeviceMemory image(f.device, f.pixels.size()), mask(f.device, height * width);
    for (void* chosen : {stream.get(), static_cast<mfp::Stream>(nullptr)}) {
        device.copy_in(image.as<void>(), f.pixels.data(), f.pixels.size(), chosen);
        mfp::CudaSession there(f.network, mfp::CudaImage{image.as<std::uint8_t>(), height, width}, chosen, f.small);
        mfp::Session uploaded(f.network, f.image(), f.small);
        click_all(there);
        click_all(uploaded);
        CHECK(there.mask().pixels == uploaded.mask().pixels);
        CHECK(there.probability().values == uploaded.probability().values);
        std::vector<std::uint8_t> fetched(height * width);
        there.device_mask(mask.as<std::uint8_t>());
        device.copy_out(fetched.data(), mask.as<void>(), fetched.size(), chosen);
        device.synchronize(chosen);
        CHECK(fetched == there.mask().pixels);
    }
    CHECK_THROWS(mfp::CudaSession(f.network, mfp::CudaImage{f.pixels.data(), height, width}), mfp::ImageError,
                 "is no memory that the NVIDIA driver knows of");
}

void sessions_of_several_threads(const Fixture& f) {
    mfp::Session alone(f.network, f.image(), f.small);
    click_all(alone);
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&] {
            mfp::Session session(f.network, f.image(), f.small);
            click_all(session);
            wrong += session.probability().values != alone.probability().values;
        });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK_EQUAL(wrong.load(), 0);
}

}  // namespace

int main() {
    std::shared_ptr<mfp::CudaDevice> device;
    try {
        device = mfp::open_cuda_device(0);
    } catch (const mfp::RuntimeMissingError& error) {
        std::printf("skipped: %s\n", error.what());
        return skipped;
    }
    const Fixture f(device);
    equals_the_session_on_the_host(f);
    memory_and_stream_of_the_callers(f);
    sessions_of_several_threads(f);
    return report();
}
