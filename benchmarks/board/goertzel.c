/* Instead of the transform in rest.c, to compare: a recursion over the samples for each bin, two bins at a time. */
static void spectrum_of(const float *samples, float transform[2][REST_RATE], float *power)
{
    float sum = 0.0f;
    float *const z = transform[0];
    for (int i = 0; i < REST_RATE; i++) {
        sum += samples[i];
    }
    for (int i = 0; i < REST_RATE; i++) {
        z[i] = samples[i] - sum / (float)REST_RATE;
    }
    for (int k = LOWEST; k <= HIGHEST; k += 2) {
        const float c = 2.0f * cosine[k], d = 2.0f * cosine[k + 1];
        float a1 = 0.0f, a2 = 0.0f, b1 = 0.0f, b2 = 0.0f;
        for (int i = 0; i < REST_RATE; i += 2) {
            a2 = z[i] + c * a1 - a2;
            b2 = z[i] + d * b1 - b2;
            a1 = z[i + 1] + c * a2 - a1;
            b1 = z[i + 1] + d * b2 - b1;
        }
        power[k] = a1 * a1 + a2 * a2 - c * a1 * a2;
        if (k < HIGHEST) {
            power[k + 1] = b1 * b1 + b2 * b2 - d * b1 * b2;
        }
    }
    if (LOWEST == 0) {
        power[0] = sum * sum;
    }
}
