//VERSION=3
// Normalized Difference Moisture Index, (NIR - SWIR) / (NIR + SWIR); -1 to 1, NaN where it is not defined.
// Source: Gao: NDWI - a normalized difference water index for remote sensing of vegetation liquid water from space,
// Remote Sensing of Environment 58 (3), 1996; with Sentinel-2's B11 as in Wilson and Sader, ibid. 80 (3), 2002.
function setup() {
  return {
    input: ["B08", "B11", "dataMask"],
    output: [
      { id: "default", bands: 1, sampleType: "FLOAT32" },
      { id: "dataMask", bands: 1, sampleType: "UINT8" },
    ],
  };
}

function evaluatePixel(sample) {
  const sum = sample.B08 + sample.B11;
  const known = sample.dataMask === 1 && sum !== 0;
  return {
    default: [known ? (sample.B08 - sample.B11) / sum : NaN],
    dataMask: [known ? 1 : 0],
  };
}
