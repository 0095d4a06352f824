// Undo and redo of long sessions: the bits of before, a few steps each whatever the number of clicks, and no more memory
// than the budget. On the real array work of the host, with a network of the tests' own.
#include <cstring>
#include <random>
#include <set>
#include <tuple>

#include "check.hpp"
#include "fake.hpp"
#include "history.hpp"
#include "roi.hpp"

namespace {

constexpr int height = 260, width = 420;
constexpr std::size_t map_bytes = 24 * 32 * sizeof(float), image_bytes = height * width * sizeof(float);
const std::vector<std::uint8_t> pixels = [] {
    auto noise = noise_image(height, width, 3, 4);
    for (auto& value : noise) value %= 4;  // an object where clicks are, and nowhere else
    return noise;
}();
const mfp::Image image = {pixels.data(), height, width, 3, 0};

std::vector<std::uint8_t> square() {
    std::vector<std::uint8_t> mask(height * width);
    for (int row = 20; row < 60; ++row) std::fill_n(mask.begin() + row * width + 30, 40, std::uint8_t(1));
    return mask;
}

// What Session does, with the number of steps that each undo repeats.
struct Object {
    std::shared_ptr<FakeSwitches> switches = std::make_shared<FakeSwitches>();
    std::unique_ptr<mfp::Pipeline> pipeline;
    mfp::History history;
    std::vector<mfp::Map> maps;  // after each number of clicks
    std::mt19937 generator{11};

    explicit Object(std::size_t budget, bool with_initial) : history({height, width}, budget) {
        const auto initial = square();
        const mfp::ClickOptions options = {{24, 32}, false, 0.5f, 7, 100, false};
        pipeline = mfp::host_pipeline(fake_network(switches), image, with_initial ? initial.data() : nullptr, options);
        pipeline->start();
        maps.push_back(pipeline->probability());
    }

    std::vector<mfp::Click> clicks(std::size_t count) const {
        std::vector<mfp::Click> list;
        for (std::size_t i = 0; i < count; ++i) list.push_back(history.steps()[i].click);
        return list;
    }

    void click() {
        // mostly around two places, so that regions stay for a while and then move
        const std::size_t k = history.steps().size();
        const double centre = k / 20 % 2 ? 320 : 90;
        std::uniform_real_distribution<double> near(-60, 60), anywhere(0, 1);
        const bool far = k % 37 == 36;
        const double x = far ? anywhere(generator) * (width - 1) : centre + near(generator);
        const double y = far ? anywhere(generator) * (height - 1) : 130 + near(generator);
        auto list = clicks(k);
        list.push_back({x, y, k % 3 != 1, static_cast<int>(k)});
        const auto stored = k ? std::optional<mfp::Roi>(history.steps().back().roi) : std::nullopt;
        const mfp::Roi roi = mfp::choose_roi(stored, pipeline->object_box(), list, height, width);
        mfp::Timing timing;
        auto map = pipeline->click(roi, list, timing);
        history.reserve_step();
        history.add(list.back(), roi, std::move(map), *pipeline);
        maps.resize(k + 1);
        maps.push_back(pipeline->probability());
    }

    void repeat(mfp::Step& step, std::size_t count) {
        if (step.map) return pipeline->paste(step);
        auto list = clicks(count);
        list.push_back(step.click);
        mfp::Timing timing;
        step.map = pipeline->click(step.roi, list, timing);
    }

    int undo() {
        int repeated = 0;
        history.reserve_undo();
        history.take_back();
        history.rebuild(*pipeline, [&](mfp::Step& step, std::size_t count) {
            ++repeated;
            repeat(step, count);
        });
        return repeated;
    }

    void redo() {
        history.reserve_step();
        repeat(history.next(), history.steps().size());
        history.redone(*pipeline);
    }

    bool is_as_before() const {
        const mfp::Map now = pipeline->probability(), &before = maps[history.steps().size()];
        return std::memcmp(now.values.data(), before.values.data(), image_bytes) == 0;
    }
};

constexpr std::size_t at_least = 2 * map_bytes + image_bytes;  // the newest map, its base's, the nearest state

void undo_repeats_few_steps_whatever_their_number() {
    for (const bool with_initial : {false, true}) {
        Object object(mfp::max_history, with_initial);
        std::set<std::tuple<int, int, int, int>> regions;
        for (int k = 0; k < 120; ++k) {
            object.click();
            const mfp::Roi& roi = object.history.steps().back().roi;
            regions.emplace(roi.row_min, roi.row_max, roi.col_min, roi.col_max);
        }
        CHECK(regions.size() >= 3);
        const int passes = object.switches->passes;
        for (int round = 0; round < 2; ++round) {
            while (!object.history.steps().empty()) {
                CHECK(object.undo() < static_cast<int>(mfp::steps_between_states));
                CHECK(object.is_as_before());
            }
            while (!object.history.undone().empty()) {
                object.redo();
                CHECK(object.is_as_before());
            }
        }
        CHECK_EQUAL(object.switches->passes.load(), passes);
    }
}

void memory_stays_within_the_budget() {
    const std::size_t budget = 60 * map_bytes + 3 * image_bytes;
    Object object(budget, false);
    for (int k = 0; k < 300; ++k) {
        object.click();
        CHECK(object.history.bytes() <= budget + at_least);
    }
    // what is near is still there
    int passes = object.switches->passes;
    for (int k = 0; k < 12; ++k) object.undo();
    for (int k = 0; k < 12; ++k) object.redo();
    CHECK_EQUAL(object.switches->passes.load(), passes);
    // what is far the network makes again, and then it is near
    while (object.history.steps().size() > 200) {
        object.undo();
        CHECK(object.is_as_before());
        CHECK(object.history.bytes() <= budget + at_least);
    }
    CHECK(object.switches->passes > passes);
    CHECK(object.switches->passes < passes + 6 * 300);  // and not for each of a hundred undos all of it
    passes = object.switches->passes;
    while (!object.history.undone().empty()) {
        object.redo();
        CHECK(object.is_as_before());
        CHECK(object.history.bytes() <= budget + at_least);
    }
}

void any_order_with_any_budget_gives_the_same_bits() {
    for (const std::size_t budget : {std::size_t{0}, 5 * map_bytes, 2 * image_bytes}) {
        Object object(budget, true);
        for (int call = 0; call < 250; ++call) {
            const auto kind = object.generator() % 10;
            if (kind < 5) {
                object.click();
            } else if (kind < 8) {
                if (!object.history.steps().empty()) object.undo();
            } else if (!object.history.undone().empty()) {
                object.redo();
            }
            CHECK(object.is_as_before());
            CHECK(object.history.bytes() <= budget + at_least);
        }
    }
}

void sessions_are_bounded_too() {
    // maps of 16 MiB: the budget of a session holds 16 of them
    auto switches = std::make_shared<FakeSwitches>();
    mfp::SessionOptions options;
    options.size = mfp::Size{2048, 2048};
    options.flip = false;
    options.r_max = 1;
    mfp::Session session(fake_network(switches), image, options);
    for (int k = 0; k < 20; ++k) session.click(200 + k, 130, k % 2 == 0);
    const int passes = switches->passes;
    for (int k = 0; k < 10; ++k) session.undo();
    CHECK_EQUAL(switches->passes.load(), passes);
    while (session.can_undo()) session.undo();
    CHECK(switches->passes > passes);  // which maps of all steps, 320 MiB, would have saved
}

}  // namespace

int main() {
    undo_repeats_few_steps_whatever_their_number();
    memory_stays_within_the_budget();
    any_order_with_any_budget_gives_the_same_bits();
    sessions_are_bounded_too();
    return report();
}
