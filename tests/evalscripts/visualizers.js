//VERSION=3
const plain = new DefaultVisualizer(0.0, 0.4);
const single = new HighlightCompressVisualizerSingle(0.0, 0.4);
const compressed = new HighlightCompressVisualizer(0.0, 0.4);
const ramp = new ColorRampVisualizer([[0, 0x000000], [0.4, 0xffffff]]);
const same = new Identity();
function setup() {
  return { input: ["B02", "B03", "B04", "dataMask"], output: { bands: 11, sampleType: "FLOAT32" } };
}
function evaluatePixel(sample) {
  const list = [sample.B04, sample.B03, sample.B02];
  const alone = single.process(sample.B04);
  alone.push(sample.dataMask);
  return [...plain.processList(list), ...alone, ...compressed.processList(list), ...ramp.getColorFromValue(sample.B04).slice(0, 2),
    same.process(sample.B04)];
}
