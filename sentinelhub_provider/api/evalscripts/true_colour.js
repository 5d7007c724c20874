//VERSION=3
// Red, green and blue of Sentinel-2 as the eye would see them, brightened by 2.5.
// Bands: Sentinel-2 User Handbook (ESA, 2015), table 1: B04 665 nm, B03 560 nm, B02 490 nm.
// The gain of 2.5 is that of the service's documentation, "Examples for S2L2A", true colour.
function setup() {
  return {
    input: ["B02", "B03", "B04", "dataMask"],
    output: [
      { id: "default", bands: 4, sampleType: "AUTO" },
      { id: "dataMask", bands: 1, sampleType: "UINT8" },
    ],
  };
}

function evaluatePixel(sample) {
  return {
    default: [2.5 * sample.B04, 2.5 * sample.B03, 2.5 * sample.B02, sample.dataMask],
    dataMask: [sample.dataMask],
  };
}
