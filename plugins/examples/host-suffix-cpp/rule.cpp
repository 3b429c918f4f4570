#include "rule.hpp"

#include "field.hpp"

bool Way::operator==(const Way &other) const
{
    return header == other.header && ignore_port == other.ignore_port &&
           label_boundary == other.label_boundary;
}

Rule::Rule(pointsman::Config table)
{
    pointsman::Config header = table.find("header");
    way.header = field::to_lower(header.text_or("host"));
    if (!field::is_name(way.header))
        header.refuse('"', header.text(), "\" is not the name of a header field");
    pointsman::Config suffix = table["suffix"];
    if (suffix.is_list()) {
        for (pointsman::Config item : suffix)
            read_suffix(item);
        if (suffixes.empty())
            suffix.refuse("an empty list matches no request");
    } else if (suffix.is_text()) {
        read_suffix(suffix);
    } else {
        suffix.refuse_type("a text or a list of texts");
    }
    backend = table["backend"].backend();
    way.ignore_port = table.find("ignore_port").boolean_or(false);
    way.label_boundary = table.find("label_boundary").boolean_or(false);
}

void Rule::read_suffix(pointsman::Config value)
{
    std::string_view suffix = value.text();
    if (suffix.empty())
        value.refuse("an empty suffix matches every value; for requests that no other rule "
                     "matches, set the frontend's `default_backend`");
    suffixes.push_back(field::to_lower(suffix));
}
