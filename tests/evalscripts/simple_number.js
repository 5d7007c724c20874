var difference = VV - VH;
return difference > 0.05;
