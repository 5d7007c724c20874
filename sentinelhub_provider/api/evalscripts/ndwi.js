//VERSION=3
// Normalized Difference Water Index, (green - NIR) / (green + NIR); above 0 over open water, NaN where not defined.
// Source: McFeeters: The use of the NDWI in the delineation of open water features, Int. J. Remote Sensing 17 (7), 1996.
function setup() {
  return {
    input: ["B03", "B08", "dataMask"],
    output: [
      { id: "default", bands: 1, sampleType: "FLOAT32" },
      { id: "dataMask", bands: 1, sampleType: "UINT8" },
    ],
  };
}

function evaluatePixel(sample) {
  const sum = sample.B03 + sample.B08;
  const known = sample.dataMask === 1 && sum !== 0;
  return {
    default: [known ? (sample.B03 - sample.B08) / sum : NaN],
    dataMask: [known ? 1 : 0],
  };
}
