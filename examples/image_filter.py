"""A blurred picture made sharp again, by descending along the gradient of a blur that knows only NumPy.

`blur` and `roughness` are plain NumPy: padding, slices, sums. Run it: python examples/image_filter.py
"""

import numpy as np

import gradcore


def blur(image, width):
    """Blur by a Gaussian of `width` pixels, rows and columns in turn, with the borders repeated."""
    r = 4
    weights = np.exp(-0.5 * (np.arange(-r, r + 1) / width) ** 2)
    weights = weights / np.sum(weights)
    for axis in (0, 1):
        around = [(r, r) if a == axis else (0, 0) for a in (0, 1)]
        padded = np.moveaxis(np.pad(image, around, mode="edge"), axis, 0)
        n = image.shape[axis]
        image = np.moveaxis(sum(weights[i] * padded[i : i + n] for i in range(2 * r + 1)), 0, axis)
    return image


def roughness(image):
    """The total variation: how much neighbours differ, rounded off near zero."""
    down, right = np.diff(image, axis=0)[:, :-1], np.diff(image, axis=1)[:-1]
    return np.sum(np.sqrt(down**2 + right**2 + 1e-4))


def misfit(image, seen, width):
    """How badly `image`, once blurred, explains what was seen."""
    return np.sum((blur(image, width) - seen) ** 2) + 2e-3 * roughness(image)


def sharpen(seen, width, steps=120, rate=0.6):
    """Descend from the blurred picture, with Nesterov's momentum."""
    image = before = gradcore.tensor(seen)
    for step in range(steps):
        point = (image + step / (step + 3) * (image - before)).detach().requires_grad_()
        (slope,) = gradcore.autograd.grad(misfit(point, seen, width), point)
        before, image = image, (point - rate / 2 * slope).detach()
    return image.numpy()


def picture(n=48):
    """A disk, a bar and a ramp."""
    y, x = np.mgrid[0:n, 0:n] / n
    image = ((x - 0.35) ** 2 + (y - 0.4) ** 2 < 0.05).astype(float)
    return np.where((y > 0.75) & (y < 0.85), x, image)


def main():
    sharp = picture()
    seen = blur(sharp, 1.5)
    found = sharpen(seen, 1.5)
    print(f"mean error: blurred {np.abs(seen - sharp).mean():.4f}, sharpened {np.abs(found - sharp).mean():.4f}")
    width = gradcore.tensor(1.5, dtype=gradcore.float64, requires_grad=True)
    misfit(sharp, blur(sharp, 1.7), width).backward()
    print(f"and by the width of the blur, of 1.5 instead of 1.7: {width.grad.item():.4f}")


if __name__ == "__main__":
    main()
