// The history of an object's steps, with undo and redo; history.hpp describes it.
#include "history.hpp"

#include <algorithm>

#include "roi.hpp"

namespace mfp {
namespace {

constexpr Roi nothing = {0, -1, 0, -1};

bool is_empty(const Roi& box) { return box.row_max < box.row_min; }

Roi united(const Roi& a, const Roi& b) {
    if (is_empty(a)) return b;
    return {std::min(a.row_min, b.row_min), std::max(a.row_max, b.row_max), std::min(a.col_min, b.col_min),
            std::max(a.col_max, b.col_max)};
}

std::size_t bytes_of(const Step& step) {
    return (step.map ? step.map->bytes() : 0) + (step.state ? step.state->bytes() : 0);
}

}  // namespace

void History::clear() noexcept {
    steps_.clear();
    undone_.clear();
}

void History::add(Click click, const Roi& roi, std::unique_ptr<StepMap> map, Pipeline& pipeline) noexcept {
    undone_.clear();
    Step step{click, roi, std::move(map), nullptr, 0, nothing};
    place(step);
    steps_.push_back(std::move(step));
    keep(steps_.size(), pipeline);
}

void History::take_back() noexcept { undo_from(steps_.size() - 1); }

void History::redone(Pipeline& pipeline) noexcept {
    steps_.push_back(std::move(undone_.back()));
    undone_.pop_back();
    keep(steps_.size(), pipeline);
}

bool History::give_up() noexcept {
    bool any = false;
    for (std::vector<Step>* list : {&steps_, &undone_}) {
        for (Step& step : *list) {
            any |= step.map || step.state;
            step.map.reset();
            step.state.reset();
        }
    }
    return any;
}

std::size_t History::bytes() const noexcept {
    std::size_t sum = 0;
    for (const std::vector<Step>* list : {&steps_, &undone_}) {
        for (const Step& step : *list) sum += bytes_of(step);
    }
    return sum;
}

std::size_t History::restorable(std::size_t count) const noexcept {
    for (; count > 0; --count) {
        const Step& step = steps_[count - 1];
        const bool has_base = step.base == 0 || steps_[step.base - 1].map;
        if (has_base && (step.base == count || step.state)) break;
    }
    return count;
}

void History::restore(std::size_t count, Pipeline& pipeline) const {
    const std::size_t base = count > 0 ? steps_[count - 1].base : 0;
    if (base > 0) {
        pipeline.paste(steps_[base - 1]);
    } else {
        pipeline.start();
    }
    if (base < count) pipeline.restore(*steps_[count - 1].state);
}

void History::keep(std::size_t count, Pipeline& pipeline) noexcept {
    if (count - restorable(count) >= steps_between_states) {
        Step& step = steps_[count - 1];
        try {
            step.state = pipeline.save(step.changed);
        } catch (...) {  // no memory for it: undo pastes more steps
        }
    }
    fit(count);
}

// Drops what is farthest from the present click, in the order of clicks, until the rest fits. What undo needs first
// stays whatever its size: the newest map, the nearest state and the step that covered the whole image before it.
void History::fit(std::size_t count) noexcept {
    std::size_t held = bytes();
    if (held <= budget_ || count == 0) return;
    const std::size_t nearest = restorable(count), base = steps_[count - 1].base;
    std::size_t low = 0, high = steps_.size() + undone_.size();
    while (held > budget_ && (low + 1 < count || high > count)) {
        const bool from_below = low + 1 < count && (high <= count || count - low > high - count);
        const std::size_t index = from_below ? low++ : --high;
        Step& step = at(index);
        const std::size_t before = bytes_of(step);
        if (index + 1 != base) step.map.reset();
        if (index + 1 != nearest) step.state.reset();
        held -= before - bytes_of(step);
    }
}

void History::undo_from(std::size_t count) noexcept {
    while (steps_.size() > count) {
        undone_.push_back(std::move(steps_.back()));
        steps_.pop_back();
    }
}

void History::place(Step& step) const noexcept {
    if (step.roi == Roi{0, image_.height - 1, 0, image_.width - 1}) {
        step.base = steps_.size() + 1;
    } else if (!steps_.empty()) {
        step.base = steps_.back().base;
        step.changed = united(steps_.back().changed, step.roi);
    } else {
        step.changed = step.roi;
    }
}

Step& History::at(std::size_t index) {
    return index < steps_.size() ? steps_[index] : undone_[undone_.size() - 1 - (index - steps_.size())];
}

}  // namespace mfp
