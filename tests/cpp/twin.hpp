// The twin of a GPU: memory, streams, graphs and launches of Device (engine/cpp/src/device.hpp) on the host, with the very
// kernels, compiled for the CPU (tests/host_cuda). New memory is full of 0xff (no numbers, as floats), every access is
// held against the memory that is alive, and a graph replays what was recorded with the arguments as they were then.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <stdexcept>

#include "gpu_backend.hpp"

extern "C" int mfp_launch(const char* kernel, int blocks, int items, int threads, int backward, void** args);

class TwinDevice : public mfp::Device {
public:
    // `deferred`: work waits on its stream until synchronize(), as it may on a GPU, so that whoever looks at results,
    // or writes over what is still to be copied, before he has waited is found out.
    explicit TwinDevice(bool deferred = false, int blocks = 2, bool backward = false)
        : deferred_(deferred), blocks_(blocks), backward_(backward) {}
    ~TwinDevice() override {
        if (bytes_alive()) std::abort();
    }

    void* allocate(std::size_t bytes) override {
        demand(!recording_, "memory cannot be allocated while a graph is recorded");
        std::lock_guard<std::mutex> lock(mutex_);
        if (refusals) {
            --refusals;
            throw std::bad_alloc();
        }
        void* memory = std::malloc(bytes);
        std::memset(memory, 0xff, bytes);
        alive_[static_cast<char*>(memory)] = bytes;
        return memory;
    }

    void free(void* memory) noexcept override {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!alive_.erase(static_cast<char*>(memory))) std::abort();
        std::free(memory);
    }

    void* allocate_pinned(std::size_t bytes) override { return allocate(bytes); }
    void free_pinned(void* memory) noexcept override { free(memory); }

    mfp::Stream new_stream() override {
        std::lock_guard<std::mutex> lock(mutex_);
        return reinterpret_cast<mfp::Stream>(++streams_ << 4);
    }
    void free_stream(mfp::Stream stream) noexcept override {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!queues_[stream].empty()) std::abort();  // its work was not waited for
    }

    void copy_in(void* target, const void* source, std::size_t bytes, mfp::Stream stream) override {
        if (is_alive(source, bytes)) return copy(target, source, bytes, stream);
        demand(!recording_, "a copy from memory that is not pinned cannot be recorded");
        const auto held = std::make_shared<std::string>(static_cast<const char*>(source), bytes);
        put(stream, [this, target, held, bytes] {
            check(target, bytes);
            std::memcpy(target, held->data(), bytes);
        });
    }

    void copy_out(void* target, const void* source, std::size_t bytes, mfp::Stream stream) override {
        if (is_alive(target, bytes)) return copy(target, source, bytes, stream);
        demand(!recording_, "a copy to memory that is not pinned cannot be recorded");
        put(stream, [this, target, source, bytes] {
            check(source, bytes);
            std::memcpy(target, source, bytes);
        });
    }

    void copy(void* target, const void* source, std::size_t bytes, mfp::Stream stream) override {
        put(stream, [this, target, source, bytes] {
            check(target, bytes);
            check(source, bytes);
            std::memcpy(target, source, bytes);
        });
    }

    void clear(void* target, std::size_t bytes, mfp::Stream stream) override {
        put(stream, [this, target, bytes] {
            check(target, bytes);
            std::memset(target, 0, bytes);
        });
    }

    void launch(const char* kernel, const MfpLane& lane, const MfpClickBlock* block, std::size_t work,
                mfp::Stream stream, int items) override {
        const int blocks = static_cast<int>(std::max<std::size_t>(
            std::min<std::size_t>((work + threads - 1) / threads, static_cast<std::size_t>(blocks_)), 1));
        put(stream, [this, kernel, lane = MfpLane(lane), block, blocks, items]() mutable {
            check(block, sizeof *block);
            void* arguments[] = {&lane, &block};
            demand(mfp_launch(kernel, blocks, items, threads, backward_, arguments) == 0, kernel);
            ++launches;
        });
    }

    void unpack(const unsigned* bits, unsigned char* mask, int height, int width, mfp::Stream stream) override {
        put(stream, [this, bits, mask, height, width]() mutable {
            void* arguments[] = {&bits, &mask, &height, &width};
            demand(mfp_launch("mfp_unpack", blocks_, 1, threads, backward_, arguments) == 0, "mfp_unpack");
        });
    }

    void synchronize(mfp::Stream stream) override {
        demand(!recording_, "waiting cannot be recorded");
        for (;;) {
            std::vector<std::function<void()>> steps;
            {
                std::lock_guard<std::mutex> lock(mutex_);
                steps.swap(queues_[stream]);
            }
            if (steps.empty()) return;
            for (const auto& step : steps) step();
        }
    }

    std::unique_ptr<mfp::Graph> record(const std::function<void()>& steps, mfp::Stream stream) override {
        demand(stream != nullptr, "the default stream cannot be recorded");
        Recording recording{stream, {}};
        recording_ = &recording;
        try {
            steps();
        } catch (...) {
            recording_ = nullptr;
            throw;
        }
        recording_ = nullptr;
        ++graphs;
        return std::make_unique<Recorded>(*this, std::move(recording.steps));
    }

    std::string why_out_of_reach(const void* address) const override {
        return address == out_of_reach ? "lies on GPU 1, the network on GPU 0" : "";
    }

    // Any other work on a stream: a network's pass.
    void put(mfp::Stream stream, std::function<void()> step) {
        if (recording_) {
            demand(recording_->stream == stream, "work for another stream than the one that is recorded");
            recording_->steps.push_back(std::move(step));
            return;
        }
        if (deferred_) {
            std::lock_guard<std::mutex> lock(mutex_);
            streams_used.insert(stream);
            queues_[stream].push_back(std::move(step));
            return;
        }
        {
            std::lock_guard<std::mutex> lock(mutex_);
            streams_used.insert(stream);
        }
        step();
    }

    std::size_t bytes_alive() const {
        std::lock_guard<std::mutex> lock(mutex_);
        std::size_t sum = 0;
        for (const auto& [start, bytes] : alive_) sum += bytes;
        return sum;
    }

    static constexpr int threads = 32;  // of a block: few, as every barrier costs
    std::atomic<int> graphs{0}, launches{0};
    int refusals = 0;  // of the next allocations
    const void* out_of_reach = nullptr;
    std::set<mfp::Stream> streams_used;

private:
    struct Recording {
        mfp::Stream stream;
        std::vector<std::function<void()>> steps;
    };

    struct Recorded : mfp::Graph {
        Recorded(TwinDevice& device, std::vector<std::function<void()>> steps)
            : device(device), steps(std::move(steps)) {}
        void launch(mfp::Stream stream) override {
            for (const auto& step : steps) device.put(stream, step);
        }
        TwinDevice& device;
        std::vector<std::function<void()>> steps;
    };

    static void demand(bool condition, const char* what) {
        if (!condition) throw std::logic_error(what);
    }

    bool is_alive(const void* address, std::size_t bytes) const {
        std::lock_guard<std::mutex> lock(mutex_);
        const auto* start = static_cast<const char*>(address);
        auto block = alive_.upper_bound(const_cast<char*>(start));
        if (block == alive_.begin()) return false;
        --block;
        return start + bytes <= block->first + block->second;
    }

    void check(const void* address, std::size_t bytes) const {
        demand(is_alive(address, bytes), "memory that is not the device's, or no longer");
    }

    static inline thread_local Recording* recording_ = nullptr;
    const bool deferred_;
    const int blocks_;
    const bool backward_;
    mutable std::mutex mutex_;
    std::map<char*, std::size_t> alive_;
    std::map<mfp::Stream, std::vector<std::function<void()>>> queues_;
    std::uintptr_t streams_ = 0;
};

// A network of the host as one of the twin: its workers read and write the twin's memory.
class TwinBackend : public mfp::GpuBackend {
public:
    TwinBackend(std::shared_ptr<const mfp::Network> network, std::shared_ptr<TwinDevice> twin, std::string why_eager)
        : GpuBackend("twin", network->info(), twin),
          network_(std::move(network)),
          twin_(std::move(twin)),
          why_eager_(std::move(why_eager)) {}

    std::unique_ptr<mfp::Worker> worker() const override {
        ++workers;
        return std::make_unique<TwinWorker>(network_, twin_, why_eager_);
    }

    mutable std::atomic<int> workers{0};

private:
    struct TwinWorker : mfp::Worker {
        TwinWorker(std::shared_ptr<const mfp::Network> network, std::shared_ptr<TwinDevice> twin, std::string why)
            : network(std::move(network)), twin(std::move(twin)), why(std::move(why)) {}
        void enqueue(const mfp::Tensors& tensors, mfp::Stream stream) override {
            const auto& host = static_cast<const mfp::HostBackend&>(network->backend());
            twin->put(stream, [&host, tensors] { host.run(tensors); });
        }
        std::string why_not_recorded(mfp::Stream) const override { return why; }

        std::shared_ptr<const mfp::Network> network;
        std::shared_ptr<TwinDevice> twin;
        std::string why;
    };

    std::shared_ptr<const mfp::Network> network_;
    std::shared_ptr<TwinDevice> twin_;
    std::string why_eager_;
};

inline std::shared_ptr<const mfp::Network> on_twin(std::shared_ptr<const mfp::Network> network,
                                                   std::shared_ptr<TwinDevice> twin, std::string why_eager = "") {
    return std::make_shared<const mfp::Network>(
        std::make_unique<const TwinBackend>(std::move(network), std::move(twin), std::move(why_eager)));
}
