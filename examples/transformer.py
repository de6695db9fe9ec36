"""Train a transformer to write like Python's own reference, letter by letter: `python examples/transformer.py`.

The text is what `help()` shows of the language reference, 465 000 letters that ship with every Python. The network reads
64 letters and says for each of them which one it expects next. At the end it writes on from a prompt.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from pathlib import Path
from pydoc_data.topics import topics

import gradcore
from gradcore import Tensor, nn, optim
from gradcore.nn import functional as F

BLOCK, BATCH = 64, 16
WIDTH, HEADS, LAYERS = 64, 4, 2
LEARNING_RATE = 4e-3
HELD_OUT = 20_000  # letters at the end that are never trained on


class Writer(nn.Module):
    """What follows each letter of a text: scores for all letters, from this one and those before it."""

    def __init__(self, letters: int) -> None:
        super().__init__()
        self.letter = nn.Embedding(letters, WIDTH)
        self.place = nn.Embedding(BLOCK, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, LAYERS, nn.LayerNorm(WIDTH), enable_nested_tensor=False)
        self.scores = nn.Linear(WIDTH, letters, bias=False)
        self.register_buffer("later", nn.Transformer.generate_square_subsequent_mask(BLOCK), persistent=False)

    def forward(self, text: Tensor) -> Tensor:
        """Scores (N, L, letters) of what follows the letters (N, L)."""
        length = text.shape[1]
        x = self.letter(text) + self.place.weight[:length]
        x = self.layers(x, mask=self.later[:length, :length], is_causal=True)
        return self.scores(x)


def blocks(text: Tensor, starts: Tensor) -> tuple[Tensor, Tensor]:
    """Pieces of a text from some starts, and the same one letter later."""
    places = starts[:, None] + gradcore.arange(BLOCK + 1, device=text.device)
    pieces = text[places]
    return pieces[:, :-1], pieces[:, 1:]


def loss_of(writer: Writer, text: Tensor, starts: Tensor) -> Tensor:
    """The cross entropy of what follows, in nats a letter."""
    before, after = blocks(text, starts)
    return F.cross_entropy(writer(before).flatten(0, 1), after.flatten())


def train(writer: Writer, text: Tensor, steps: int, every: int = 100) -> list[float]:
    """Train for some steps; return the loss of each."""
    optimizer = optim.AdamW(writer.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps + 1, pct_start=0.2)
    losses, start = [], time.perf_counter()
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        loss = loss_of(writer, text, gradcore.randint(len(text) - BLOCK, (BATCH,), device=text.device))
        loss.backward()
        nn.utils.clip_grad_norm_(writer.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
        if step % every == 0 or step == steps:
            recent = losses[-every:]
            print(f"step {step:5}: loss {sum(recent) / len(recent):.3f}, {time.perf_counter() - start:5.1f} s", flush=True)
    return losses


@gradcore.no_grad()
def write(writer: Writer, text: list[int], length: int, temperature: float = 0.7) -> list[int]:
    """Go on with a text, one letter after the other, each drawn by its chance."""
    device = writer.later.device
    for _ in range(length):
        scores = writer(gradcore.tensor([text[-BLOCK:]], device=device))[0, -1]
        text = [*text, int(gradcore.multinomial((scores / temperature).softmax(0), 1))]
    return text


def main(arguments: Sequence[str] | None = None) -> float:
    """Run the command line's `arguments`; return the loss on text that was not trained on."""
    parser = argparse.ArgumentParser(description="Train a transformer on Python's language reference.")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--prompt", default="The for statement")
    parser.add_argument("--length", type=int, default=300, help="how many letters to write at the end")
    parser.add_argument("--out", type=Path, help="where the trained weights go, as safetensors")
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error("--steps must be at least 1")

    gradcore.manual_seed(options.seed)
    story = "\n".join(topics.values())
    letters = sorted(set(story))
    number = {letter: i for i, letter in enumerate(letters)}
    if unknown := set(options.prompt) - set(letters):
        parser.error(f"--prompt has letters that the text has not: {unknown}")
    try:
        text = gradcore.tensor([number[letter] for letter in story], device=options.device)
    except RuntimeError as error:
        parser.error(str(error))
    writer = Writer(len(letters)).to(options.device)
    size = sum(p.numel() for p in writer.parameters())
    print(f"{len(story)} letters, {len(letters)} different ones; {size} parameters; without training the loss is about "
          f"{math.log(len(letters)):.2f}")  # fmt: skip
    train(writer, text[:-HELD_OUT], options.steps)

    writer.eval()
    held_out = text[-HELD_OUT:]
    with gradcore.no_grad():
        loss = loss_of(writer, held_out, gradcore.arange(0, HELD_OUT - BLOCK, BLOCK, device=text.device)).item()
    if options.prompt and options.length:
        written = write(writer, [number[letter] for letter in options.prompt], options.length)
        print("\n" + "".join(letters[i] for i in written) + "\n")
    if options.out is not None:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        gradcore.save(writer.state_dict(), options.out)
    print(f"loss on text not trained on: {loss:.3f}")
    return loss


if __name__ == "__main__":
    main()
