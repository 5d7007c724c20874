//VERSION=3
const NODATA = NaN;
var COUNT = 2, other = 1;
const KIND = "FLOAT32";
var BANDS = 2;
let mosaics = Mosaicking.SIMPLE;
function setup() {
  return {
    input: ["B04", "B08", "dataMask"],
    output: { bands: BANDS, sampleType: KIND, nodataValue: NODATA },
    mosaicking: mosaics,
  };
}
function evaluatePixel(sample) {
  return [sample.B04, sample.B08];
}
