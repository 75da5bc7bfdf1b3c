"""What the options of a spectrum of incidents say in `--help`, the same for all commands."""

PARTICLE = "Particles, in turn: 'e-,gamma', or drawn with weights: 'e-*2,gamma*1'."
ENERGY = "Kinetic energy in GeV: '50', log-uniform '1:100', 'uniform:1:100', or a list '1,10,100'; '500MeV' works too."
THETA = "Angle from the layer normal in degrees: '30', or '0:30', uniform in solid angle; '0.5rad' works too."
PHI = "Azimuth in degrees: '90', or '0:360'."
POSITION = "Impact point on the front face in mm: 'x,y', 'x0:x1,y0:y1', or 'cell' (uniform over a cell at the centre)."
