// Constants and utility functions that Sentinel Hub documents for evalscripts.
// They are set on globalThis, not declared, so that an evalscript may declare its own of the same name.
"use strict";
(function (global) {
  const define = (members) => {
    for (const [name, value] of Object.entries(members)) {
      Object.defineProperty(global, name, { value, writable: true, configurable: true, enumerable: false });
    }
  };
  const names = (list) => Object.freeze(Object.fromEntries(list.map((name) => [name, name])));

  const JAVA_DOUBLE_MAX_VAL = Number.MAX_VALUE;
  const int2rgb = (color) => [(color >> 16) & 255, (color >> 8) & 255, color & 255];
  const rgb2int = (color) => color[0] * 65536 + color[1] * 256 + color[2];
  const normalizeRGB = (color) => color.map((value) => value / 255);
  const toRgb = (color) => (Array.isArray(color) ? color : normalizeRGB(int2rgb(color)));
  const combine = (color1, color2, alpha) => color1.map((value, i) => value * alpha + color2[i] * (1 - alpha));
  const index = (x, y) => (x + y === 0 ? 0 : (x - y) / (x + y));
  const inverse = (x) => (x === 0 ? JAVA_DOUBLE_MAX_VAL : 1 / x);

  function valueMap(value, intervals, values) {
    if (intervals === undefined) return value;
    for (let i = 0; i < intervals.length; i++) {
      if (value <= intervals[i]) return values[i];
    }
    return values[values.length - 1];
  }

  function valueInterpolate(value, intervals, values) {
    if (intervals === undefined) return value;
    const last = intervals.length - 1;
    if (value <= intervals[0]) return values[0];
    if (value >= intervals[last]) return values[last];
    let i = 1;
    while (value > intervals[i]) i++;
    const share = (value - intervals[i - 1]) / (intervals[i] - intervals[i - 1]);
    const mix = (a, b) => a + (b - a) * share;
    const from = values[i - 1];
    return Array.isArray(from) ? from.map((part, k) => mix(part, values[i][k])) : mix(from, values[i]);
  }

  const RAMPS = {
    blueRed: [[1.0, 0x000080], [0.875, 0x0000ff], [0.625, 0x00ffff], [0.375, 0xffff00], [0.125, 0xff0000],
      [0.0, 0x800000]],
    redTemperature: [[1.0, 0x000000], [0.525, 0xae0000], [0.3, 0xff6e00], [0.25, 0xff8600], [0.0, 0xffffff]],
    greenWhite: [[1.0, 0x000000], [0.6, 0x006600], [0.3, 0x80b300], [0.0, 0xffffff]],
    oceanColor: [[0.0, [147, 0, 108]], [0.0471, [111, 0, 144]], [0.098, [72, 0, 183]], [0.149, [33, 0, 222]],
      [0.2, [0, 10, 255]], [0.2471, [0, 74, 255]], [0.298, [0, 144, 255]], [0.349, [0, 213, 255]],
      [0.4, [0, 255, 215]], [0.4471, [0, 255, 119]], [0.498, [0, 255, 15]], [0.549, [96, 255, 0]],
      [0.6, [200, 255, 0]], [0.6471, [255, 235, 0]], [0.698, [255, 183, 0]], [0.749, [255, 131, 0]],
      [0.8, [255, 79, 0]], [0.8471, [255, 31, 0]], [0.898, [230, 0, 0]], [0.949, [165, 0, 0]],
      [1.0, [105, 0, 0]]].map(([value, color]) => [value, normalizeRGB(color)]),
  };
  const DEFAULT_COLOR_MAP = [[-1.0, 0x000000], [-0.2, 0xff0000], [-0.1, 0x9a0000], [0.0, 0x660000], [0.1, 0xffff33],
    [0.2, 0xcccc33], [0.3, 0x666600], [0.4, 0x33ffff], [0.5, 0x33cccc], [0.6, 0x006666], [0.7, 0x33ff33],
    [0.8, 0x33cc33], [0.9, 0x006600]];

  class ColorMapVisualizer {
    constructor(valColPairs) {
      this.pairs = valColPairs.map(([value, color]) => [value, toRgb(color)]).sort((a, b) => a[0] - b[0]);
    }
    process(value) {
      let color = this.pairs[0][1];
      for (const [from, next] of this.pairs) {
        if (value < from) break;
        color = next;
      }
      return color.slice();
    }
    getColorFromValue(value) {
      return this.process(value);
    }
    static createDefaultColorMap() {
      return new ColorMapVisualizer(DEFAULT_COLOR_MAP);
    }
  }

  class ColorRampVisualizer {
    constructor(ramps, minVal, maxVal) {
      const pairs = ramps.map(([value, color]) => [value, toRgb(color)]).sort((a, b) => a[0] - b[0]);
      const low = pairs[0][0];
      const high = pairs[pairs.length - 1][0];
      const from = minVal === undefined ? low : minVal;
      const to = maxVal === undefined ? high : maxVal;
      this.values = pairs.map(([value]) => from + (high === low ? 0 : (value - low) / (high - low)) * (to - from));
      this.colors = pairs.map(([, color]) => color);
    }
    process(value) {
      return valueInterpolate(value, this.values, this.colors).slice();
    }
    getColorFromValue(value) {
      return this.process(value);
    }
    inverse() {
      const turned = Object.create(Object.getPrototypeOf(this));
      turned.values = this.values.slice();
      turned.colors = this.colors.slice().reverse();
      // The distances between the colours are mirrored too.
      const last = turned.values.length - 1;
      turned.values = this.values.map((_, i) => this.values[0] + this.values[last] - this.values[last - i]);
      return turned;
    }
    // These ramps are listed from the top down. The interval's lower end has the last colour of the list.
    static between(ramp, minVal = 0, maxVal = 1) {
      return new this(ramp.map(([value, color]) => [1 - value, color]), minVal, maxVal);
    }
    static createRedTemperature(minVal, maxVal) {
      return this.between(RAMPS.redTemperature, minVal, maxVal);
    }
    static createWhiteGreen(minVal, maxVal) {
      return this.between(RAMPS.greenWhite, minVal, maxVal);
    }
    static createBlueRed(minVal, maxVal) {
      return this.between(RAMPS.blueRed, minVal, maxVal);
    }
    static createOceanColor(minVal = 0, maxVal = 1) {
      return new this(RAMPS.oceanColor, minVal, maxVal);
    }
  }

  // Deprecated in favour of ColorRampVisualizer. Its values from 0 to 1 stand for those from minVal to maxVal.
  class ColorGradientVisualizer extends ColorRampVisualizer {
    constructor(valColPairs, minVal = 0.0, maxVal = 1.0) {
      super(valColPairs);
      this.values = this.values.map((value) => minVal + value * (maxVal - minVal));
    }
  }

  // Maps minValue to 0 and maxValue to 1. It maps a list value by value.
  class DefaultVisualizer {
    constructor(minValue = 0.0, maxValue = 1.0, gain = 1.0, offset = 0.0, gamma = 1.0) {
      Object.assign(this, { minValue, maxValue, gain, offset, gamma });
    }
    scaled(value) {
      return Math.pow(value, this.gamma) * this.gain + this.offset;
    }
    one(value) {
      return Math.min(1, Math.max(0, (this.scaled(value) - this.minValue) / (this.maxValue - this.minValue)));
    }
    process(value) {
      return Array.isArray(value) ? this.processList(value) : this.one(value);
    }
    processList(values) {
      return values.map((value) => this.one(value));
    }
  }
  // Linear up to 0.92, then 13.5 times flatter, so that clouds keep some detail.
  class HighlightCompressVisualizer extends DefaultVisualizer {
    constructor(minValue = 0.0, maxValue = 1.0, gain = 1.0, offset = 0.0, gamma = 1.0) {
      super(minValue, maxValue, gain, offset, gamma);
      this.bend = minValue + 0.92 * (maxValue - minValue);
      this.end = 2 * maxValue - minValue;
    }
    one(value) {
      const x = this.scaled(value);
      if (x <= this.minValue) return 0;
      if (x <= this.bend) return (x - this.minValue) / (this.maxValue - this.minValue);
      return x >= this.end ? 1 : 0.92 + (0.08 * (x - this.bend)) / (this.end - this.bend);
    }
  }
  // For one band. Its result is a list even for a single number.
  class HighlightCompressVisualizerSingle extends HighlightCompressVisualizer {
    process(value) {
      return this.processList(Array.isArray(value) ? value : [value]);
    }
  }
  class Identity {
    process(value) {
      return Array.isArray(value) ? value : [value];
    }
    processList(values) {
      return values;
    }
  }

  define({
    JAVA_DOUBLE_MAX_VAL, int2rgb, rgb2int, normalizeRGB, combine, index, inverse, valueMap, valueInterpolate,
    colorBlend: valueInterpolate, ColorMapVisualizer, ColorRampVisualizer, ColorGradientVisualizer,
    DefaultVisualizer, HighlightCompressVisualizer, HighlightCompressVisualizerSingle, Identity, ...RAMPS,
    SampleType: names(["INT8", "UINT8", "INT16", "UINT16", "UINT32", "FLOAT32", "AUTO"]),
    Mosaicking: names(["SIMPLE", "ORBIT", "TILE"]),
  });
})(globalThis);
//# sourceURL=prelude.js
