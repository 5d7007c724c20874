//VERSION=3
const same = new Identity();
const setup = () => ({ input: ["B04", "dataMask"], output: { bands: 1, sampleType: "FLOAT32" } });
function evaluatePixel(sample) {
  return same.process(sample.B04);
}
