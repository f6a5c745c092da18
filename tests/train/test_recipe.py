from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mychat.config import PRESETS, TrainSettings
from mychat.train.recipe import MOST_DROPOUT, choose_recipe

minutes = st.floats(0.1, 600)
chars = st.integers(1_000, 10**9)
peaks = st.floats(1e10, 1e15)


@settings(deadline=None)
@given(minutes, chars, peaks)
def test_the_fewer_the_words_the_more_is_done_against_learning_by_heart(budget: float, text: int, peak: float) -> None:
    few, many = (choose_recipe(TrainSettings(minutes=budget), length, peak) for length in (text, 4 * text))
    assert 0 <= many.dropout <= few.dropout <= MOST_DROPOUT
    assert many.weight_decay <= few.weight_decay
    assert few.vocab_size <= many.vocab_size
    assert choose_recipe(TrainSettings(minutes=budget), text, peak, drawn=True).dropout == 0


@settings(deadline=None)
@given(minutes, chars, peaks)
def test_a_longer_run_has_no_smaller_network_and_a_step_is_whole_rows(budget: float, text: int, peak: float) -> None:
    sizes = list(PRESETS)
    short, long = (choose_recipe(TrainSettings(minutes=length), text, peak) for length in (budget, 3 * budget))
    assert sizes.index(short.size) <= sizes.index(long.size)
    if short.size == long.size:
        assert short.batch_tokens <= long.batch_tokens
    assert short.batch_tokens % short.context_length == 0


@settings(deadline=None)
@given(minutes, chars, peaks, st.sampled_from([*PRESETS]), st.floats(0, 0.9), st.floats(0, 2))
def test_what_is_given_wins(budget: float, text: int, peak: float, size: str, dropout: float, decay: float) -> None:
    given_settings = TrainSettings(minutes=budget, size=size, dropout=dropout, weight_decay=decay, batch_tokens=4096)
    recipe = choose_recipe(given_settings, text, peak)
    assert (recipe.size, recipe.dropout, recipe.weight_decay, recipe.batch_tokens) == (size, dropout, decay, 4096)


@settings(deadline=None)
@given(minutes, chars, peaks)
def test_a_vocabulary_suits_the_text_and_many_epochs_shrink_it(budget: float, text: int, peak: float) -> None:
    size = choose_recipe(TrainSettings(minutes=budget), text, peak).size
    recipe = choose_recipe(TrainSettings(minutes=budget, size=size), text, peak)
    assert 512 <= recipe.vocab_size <= PRESETS[size].vocab_size
    assert recipe.vocab_size <= max(512, text // 100)
    longer = choose_recipe(TrainSettings(minutes=4 * budget, size=size), text, peak)
    assert longer.vocab_size <= recipe.vocab_size
