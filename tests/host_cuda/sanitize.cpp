// Every kernel on small random clicks with several block sizes, to be run under a sanitizer. All memory is just as large
// as it has to be. With a number as argument, barriers of that number are left out (test_cuda_sanitizers.py numbers them).
#include "host_cuda.h"

static int left_out = -1;

inline void barrier_unless_left_out(int number) {
    if (number != left_out) __syncthreads();
}

#include "all.cu"

#include <cstdlib>
#include <random>

static std::mt19937 generator(7);

static int whole(int low, int high) { return std::uniform_int_distribution(low, high)(generator); }

static std::vector<float> noise(size_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = whole(0, 999) / 999.0f;
    return values;
}

using Kernel = void (*)(MfpLane, const MfpClickBlock*);

static void run_click(unsigned threads, int batch, int n_clicks, bool first, bool rgb) {
    const int height = whole(5, 40), width = whole(5, 40), area = height * width;
    const int image_height = whole(1, 60), image_width = whole(1, 60);
    const int words = (image_width + 31) / 32;

    auto image = noise(3 * batch * area), prev = noise(batch * area), modulated = noise(batch * area),
         disks = noise(2 * batch * area), logits = noise(batch * area), map = noise(area),
         probability = noise(image_height * image_width);
    std::vector<unsigned> keys(batch * area);
    std::vector<MfpWindow> windows(batch);
    std::vector<MfpPlaced> placed(batch * n_clicks);
    std::vector<unsigned char> picture(image_height * image_width * 3, 100), mask(image_height * image_width);
    std::vector<unsigned> result(offsetof(MfpResult, bits) / 4 + image_height * words);
    if (first) probability.assign(probability.size(), 0.0f);

    std::vector<unsigned char> memory(sizeof(MfpClickBlock) + n_clicks * sizeof(MfpClick));
    auto block = new (memory.data()) MfpClickBlock{};
    block->image = picture.data();
    block->image_row = image_width * 3;
    block->image_column = 3;
    block->image_channel = 1;
    block->probability = probability.data();
    block->map = map.data();
    block->result = (MfpResult*)result.data();
    block->r_max = 12;
    block->threshold = 0.5f;
    block->disk_radius = 5;
    block->height = image_height;
    block->width = image_width;
    block->row_min = whole(0, image_height - 1);
    block->row_max = whole(block->row_min, image_height - 1);
    block->col_min = whole(0, image_width - 1);
    block->col_max = whole(block->col_min, image_width - 1);
    block->n_clicks = n_clicks;
    block->newest = n_clicks - 1;
    block->n_early = rgb ? 1000 : 2;
    block->compare_rgb = rgb;
    block->mapped = 1;
    block->bootstrapped = first;
    auto clicks = (MfpClick*)(block + 1);
    for (int i = 0; i < n_clicks; ++i) {
        clicks[i] = {whole(0, 4 * height - 1) / 4.0, whole(0, 4 * width - 5) / 4.0, whole(0, 1), i};
    }

    MfpLane lane = {};
    lane.image = image.data();
    lane.prev = prev.data();
    lane.modulated = modulated.data();
    lane.clicks = disks.data();
    lane.logits = logits.data();
    lane.keys = keys.data();
    lane.windows = windows.data();
    lane.placed = placed.data();
    lane.batch = batch;
    lane.height = height;
    lane.width = width;
    lane.capacity = n_clicks;

    const auto run = [&](Kernel kernel, unsigned blocks, unsigned items = 1) {
        host_cuda::launch({blocks, items, 1}, threads, host_cuda::Order::forward, [&] { kernel(lane, block); });
    };
    run(mfp_begin, 1);
    run(mfp_crop, 2);
    run(mfp_disks, 2, batch);
    if (first) run(mfp_bootstrap, 2);
    run(mfp_window, 2, batch);
    run(mfp_select_second, 2, batch);
    run(mfp_select_third, 2, batch);
    run(mfp_modulate, 2, batch);
    run(mfp_probability, 2);
    run(mfp_paste, 3);
    host_cuda::launch({2, 1, 1}, threads, host_cuda::Order::forward,
                      [&] { mfp_unpack(block->result->bits, mask.data(), image_height, image_width); });
}

int main(int, char** arguments) {
    if (arguments[1]) left_out = std::atoi(arguments[1]);
    run_click(32, 2, 1, true, false);
    run_click(32, 1, 5, false, true);
    run_click(32, 2, 4, false, false);
    run_click(96, 2, 120, false, true);
}
