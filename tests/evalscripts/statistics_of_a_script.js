//VERSION=3
function setup() {
  return {
    input: [{ bands: ["B04", "B08", "SCL", "dataMask"], units: ["REFLECTANCE", "REFLECTANCE", "DN", "DN"] }],
    output: [{ id: "ndvi", bands: 1, sampleType: SampleType.FLOAT32 }, { id: "dataMask", bands: 1 }],
    mosaicking: Mosaicking.SIMPLE,
  };
}
function evaluatePixel(sample) {
  const clear = [4, 5, 6, 7].includes(sample.SCL) ? 1 : 0;
  return { ndvi: [index(sample.B08, sample.B04)], dataMask: [sample.dataMask * clear] };
}
