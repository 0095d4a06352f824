// The steps of an object, with the data that undo and redo need. Memory is bounded, and the time of an undo does not
// grow with the number of clicks.
//
// A step keeps its map at network size; pasting it again repeats it. Every few steps the image's own map is saved as
// well, restricted to the box that has changed since the last step that covered the whole image. Undo restores the
// nearest state and pastes the few steps behind it. The Python engine does the same.
#pragma once

#include <vector>

#include "pipeline.hpp"

namespace mfp {

constexpr std::size_t max_history = std::size_t{256} << 20;  // bytes of maps and saved states, a session
constexpr std::size_t steps_between_states = 8;

class History {
public:
    explicit History(Size image, std::size_t budget = max_history) : image_(image), budget_(budget) {}

    const std::vector<Step>& steps() const { return steps_; }
    const std::vector<Step>& undone() const { return undone_; }

    // Makes room, so that the calls below cannot lack memory. Throws std::bad_alloc.
    void reserve_step() {
        if (steps_.size() == steps_.capacity()) steps_.reserve(2 * steps_.size() + 8);
    }
    void reserve_undo() { undone_.reserve(undone_.size() + steps_.size()); }

    void clear() noexcept;

    // A click whose map is in the image's map. What was undone is forgotten.
    void add(Click click, const Roi& roi, std::unique_ptr<StepMap> map, Pipeline& pipeline) noexcept;

    // The newest step becomes an undone one; rebuild() then builds the image's map.
    void take_back() noexcept;

    // The step to repeat next for redo; redone() when that is done.
    Step& next() { return undone_.back(); }
    void redone(Pipeline& pipeline) noexcept;

    // Builds the image's map from the steps. `repeat(step, count)` puts a step, the one after the first `count`, into it
    // again. Where that throws, the steps that are missing become undone ones.
    template <class Repeat>
    void rebuild(Pipeline& pipeline, Repeat repeat) {
        std::size_t count = restorable(steps_.size());
        try {
            restore(count, pipeline);
        } catch (...) {
            undo_from(0);
            throw;
        }
        while (count < steps_.size()) {
            try {
                repeat(steps_[count], count);
            } catch (...) {
                undo_from(count);
                throw;
            }
            keep(++count, pipeline);
        }
        keep(count, pipeline);
    }

    // Gives up what undo() and redo() would like to have: they run the network instead. Whether there was any.
    bool give_up() noexcept;

    std::size_t bytes() const noexcept;

private:
    // The largest number of steps, `count` at most, whose map can be had without pasting all of them.
    std::size_t restorable(std::size_t count) const noexcept;
    void restore(std::size_t count, Pipeline& pipeline) const;

    void keep(std::size_t count, Pipeline& pipeline) noexcept;  // saves a state where one is due, and fits the budget
    void fit(std::size_t count) noexcept;
    void undo_from(std::size_t count) noexcept;
    void place(Step& step) const noexcept;  // as the one that comes next
    Step& at(std::size_t index);            // of all: the steps, then the undone ones in the order of redo

    Size image_;
    std::size_t budget_;
    std::vector<Step> steps_, undone_;
};

}  // namespace mfp
