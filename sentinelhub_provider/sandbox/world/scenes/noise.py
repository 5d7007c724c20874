"""Hash-seeded noise on the plane. A coordinate has the same value in every window.

Everything is a pure function of coordinate and seed. No generator has a state. Arrays are one-dimensional, float64
for coordinates (metres) and float32 for values.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Coordinates = NDArray[np.float64]
Values = NDArray[np.float32]
Hashes = NDArray[np.uint32]
Cells = NDArray[np.int32]

_X = np.uint32(0x85EBCA6B)
_Y = np.uint32(0xC2B2AE35)
_S = np.uint32(0x9E3779B9)
_M1 = np.uint32(0x7FEB352D)
_M2 = np.uint32(0x846CA68B)
_16 = np.uint32(16)
_15 = np.uint32(15)
_LOW = np.uint32(0xFFFF)
_TO_UNIT = np.float32(1 / 2**32)


def scramble(value: int) -> int:
    """Mix the bits of an integer into an evenly distributed 32-bit number, as :func:`hash_cells` does."""
    h = value & 0xFFFFFFFF
    h = ((h ^ (h >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return h ^ (h >> 16)


def derive(seed: int, *parts: int) -> int:
    """Derive a seed from a seed and numbers, so that different parts of the world are independent."""
    for part in parts:
        seed = scramble(seed * 0x9E3779B1 + part + 0x632BE5AB)
    return seed


def fraction(seed: int, *parts: int) -> float:
    """Derive a number in [0, 1) from a seed and numbers."""
    return derive(seed, *parts) / 2**32


def _mix(h: Hashes) -> Hashes:
    """Mix the bits in place. The caller must own the array."""
    h ^= h >> _16
    h *= _M1
    h ^= h >> _15
    h *= _M2
    h ^= h >> _16
    return h


def hash_cells(ix: Cells, iy: Cells, seed: int) -> Hashes:
    """Hash integer cells to evenly distributed 32-bit numbers."""
    h = ix.view(np.uint32) * _X
    h ^= iy.view(np.uint32) * _Y
    h += np.uint32(scramble(seed))
    return _mix(h)


def rehash(h: Hashes, seed: int) -> Hashes:
    """Derive another, independent hash from a hash."""
    return _mix(h * _S + np.uint32(scramble(seed)))


def unit(h: Hashes) -> Values:
    """Convert hashes to numbers in [0, 1)."""
    return h.astype(np.float32) * _TO_UNIT


def split(x: Coordinates, scale: float) -> tuple[Cells, Values]:
    """Return the cell's number and the position within the cell (0..1) for cells of ``scale`` metres."""
    s = x * (1.0 / scale)
    i = np.floor(s)
    s -= i
    return i.astype(np.int32), s.astype(np.float32)


def _fade(t: Values) -> Values:
    """Apply Perlin's quintic, whose first and second derivative are 0 at the cell's border."""
    fade = t * np.float32(6)
    fade -= np.float32(15)
    fade *= t
    fade += np.float32(10)
    fade *= t
    fade *= t
    fade *= t
    return fade


def gradient_noise(x: Coordinates, y: Coordinates, scale: float, seed: int) -> Values:
    """Compute Perlin noise, mean 0, deviation about 0.25, within about [-1, 1], with cells of ``scale`` metres."""
    ix, fx = split(x, scale)
    iy, fy = split(y, scale)
    mixed_seed = np.uint32(scramble(seed))
    west = ix.view(np.uint32) * _X
    east = west + _X
    south = iy.view(np.uint32) * _Y + mixed_seed
    north = south + _Y
    gx, gy = fx - np.float32(1), fy - np.float32(1)
    u, v = _fade(fx), _fade(fy)

    def corner(a: Hashes, b: Hashes, dx: Values, dy: Values) -> Values:
        h = _mix(a ^ b)
        dot = (h & _LOW).astype(np.float32)
        dot -= np.float32(32768)
        dot *= dx
        other = (h >> _16).astype(np.float32)
        other -= np.float32(32768)
        other *= dy
        dot += other
        return dot

    low = corner(west, south, fx, fy)
    low += u * (corner(east, south, gx, fy) - low)
    high = corner(west, north, fx, gy)
    high += u * (corner(east, north, gx, gy) - high)
    low += v * (high - low)
    low *= np.float32(1.6 / 32768)
    return low


def fractal_noise(x: Coordinates, y: Coordinates, scale: float, octaves: int, seed: int, gain: float = 0.5) -> Values:
    """Add ``octaves`` Perlin noises, each of half the scale and ``gain`` times the strength of the one before."""
    total = gradient_noise(x, y, scale, seed)
    strength = 1.0
    for octave in range(1, octaves):
        strength *= gain
        total += np.float32(strength) * gradient_noise(x, y, scale / 2**octave, derive(seed, octave))
    return total


def value_noise(x: Coordinates, y: Coordinates, scale: float, seed: int) -> Values:
    """Compute bilinear value noise in [-1, 1] for texture. It is rougher and cheaper than Perlin noise."""
    ix, fx = split(x, scale)
    iy, fy = split(y, scale)
    west = ix.view(np.uint32) * _X
    east = west + _X
    south = iy.view(np.uint32) * _Y + np.uint32(scramble(seed))
    north = south + _Y
    low = unit(_mix(west ^ south))
    low += fx * (unit(_mix(east ^ south)) - low)
    high = unit(_mix(west ^ north))
    high += fx * (unit(_mix(east ^ north)) - high)
    low += fy * (high - low)
    low *= np.float32(2)
    low -= np.float32(1)
    return low


def curve_noise(u: Coordinates, scale: float, h: Hashes) -> tuple[Values, Values]:
    """Compute smooth noise in [-1, 1] along a line, and its derivative by ``u``. ``h`` chooses the line."""
    i, f = split(u, scale)
    cell = i.view(np.uint32) * _X
    first = unit(_mix(cell ^ h))
    rise = unit(_mix((cell + _X) ^ h)) - first
    value = (first + _fade(f) * rise) * np.float32(2) - np.float32(1)
    g = f * (np.float32(1) - f)
    slope = np.float32(60 / scale) * g * g * rise
    return value, slope


class Voronoi(NamedTuple):
    """The nearest point of a jittered lattice.

    ``ix`` and ``iy`` are the cell with the nearest point. ``border`` is the approximate distance in metres to the
    border with the next nearest. ``dx`` and ``dy`` are the offset in metres from the nearest point.
    """

    ix: Cells
    iy: Cells
    border: Values
    dx: Values
    dy: Values


def voronoi(x: Coordinates, y: Coordinates, scale: float, seed: int, jitter: float = 0.8) -> Voronoi:
    """Compute Voronoi cells of one random point per ``scale`` x ``scale`` metres."""
    ix, fx = split(x, scale)
    iy, fy = split(y, scale)
    best = np.full(ix.shape, 9.0, np.float32)
    second = np.full(ix.shape, 9.0, np.float32)
    best_x, best_y = np.zeros_like(ix), np.zeros_like(iy)
    point_x, point_y = np.zeros_like(fx), np.zeros_like(fy)
    mixed_seed = np.uint32(scramble(seed))
    margin, spread = (1 - jitter) / 2, np.float32(jitter / 65536)
    columns = ix.view(np.uint32) * _X
    rows = iy.view(np.uint32) * _Y + mixed_seed
    for dy in (-1, 0, 1):
        row = rows + np.uint32((dy * int(_Y)) & 0xFFFFFFFF)
        for dx in (-1, 0, 1):
            h = _mix((columns + np.uint32((dx * int(_X)) & 0xFFFFFFFF)) ^ row)
            px = (h & _LOW).astype(np.float32)
            px *= spread
            px += np.float32(dx + margin)
            px -= fx
            py = (h >> _16).astype(np.float32)
            py *= spread
            py += np.float32(dy + margin)
            py -= fy
            distance = px * px + py * py
            nearer = distance < best
            np.minimum(second, np.where(nearer, best, distance), out=second)
            np.copyto(best, distance, where=nearer)
            np.copyto(best_x, ix + np.int32(dx), where=nearer)
            np.copyto(best_y, iy + np.int32(dy), where=nearer)
            np.copyto(point_x, px, where=nearer)
            np.copyto(point_y, py, where=nearer)
    border = (np.sqrt(second) - np.sqrt(best)) * np.float32(0.5 * scale)
    return Voronoi(best_x, best_y, border, point_x * np.float32(-scale), point_y * np.float32(-scale))


def smoothstep(low: float, high: float, value: Values) -> Values:
    """Return 0 below ``low``, 1 above ``high``, and a smooth transition between."""
    t = np.clip((value - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    result: Values = t * t * (np.float32(3) - np.float32(2) * t)
    return result


def line(distance: Values, width: float | Values, softness: float = 5.0) -> Values:
    """Return the share (0..1) of a pixel that a line covers, ``width`` metres wide and ``distance`` metres away."""
    half = np.asarray(width, np.float32) * np.float32(0.5) + np.float32(softness)
    cover: Values = np.clip((half - distance) * np.float32(0.5 / softness), 0, 1)
    return cover
