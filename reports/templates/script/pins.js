function readPins() {}
function writePins() { return ""; }
